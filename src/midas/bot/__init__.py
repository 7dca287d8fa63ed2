"""The Telegram bot: answers at once, whatever the AI does, and brings the AI's word later."""

from midas.bot.app import run_bot

__all__ = ["run_bot"]
