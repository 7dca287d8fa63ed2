"""A finance assistant: Telegram bot, AI worker and task queue, watched by botmetry."""
