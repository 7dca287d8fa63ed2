"""What a person reads when something went wrong: each failure in plain words, with what to do.

Handlers let exceptions go: `telemetry.bot.command` counts and logs them on their way, and here the person is told.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from aiogram.exceptions import TelegramAPIError
from aiogram.types import CallbackQuery, Message

from midas.bot.errors import TooSlow
from midas.errors import MidasError, QueueUnavailable, StoreUnavailable

if TYPE_CHECKING:
    from aiogram.types import ErrorEvent

    from botmetry import Telemetry

STORE_AWAY: Final = "I cannot reach my records right now. Nothing is lost: please try again in a minute."
QUEUE_AWAY: Final = "I cannot reach my list of work right now. Nothing is lost: please try again in a minute."
TOO_SLOW: Final = "That takes longer than usual just now. Please try again in a moment."
UNEXPECTED: Final = "Something went wrong on my side. It was noted; please try again later."

_LONGEST_ALERT: Final = 200  # characters; Telegram shows no more above a button


def apology(error: BaseException) -> str:
    """Return what to tell a person about an error, as plain text."""
    if isinstance(error, StoreUnavailable):
        return STORE_AWAY
    if isinstance(error, QueueUnavailable):
        return QUEUE_AWAY
    if isinstance(error, TooSlow):
        return TOO_SLOW
    if isinstance(error, MidasError):
        text = str(error).strip()
        return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}"
    return UNEXPECTED


async def apologise(event: ErrorEvent, telemetry: Telemetry) -> Any:
    """Tell the person whose update failed; when even that fails, there is a line in the log and the bot lives on."""
    if isinstance(event.exception, TelegramAPIError):
        # Telegram itself does not take our messages: another one would be refused, too.
        telemetry.log.warning("bot.answer_lost", reason=str(event.exception))
        return True
    text = apology(event.exception)
    try:
        await _tell(event, text)
    except TelegramAPIError as error:
        telemetry.log.warning("bot.answer_lost", reason=str(error))
    return True


async def _tell(event: ErrorEvent, text: str) -> None:
    subject = event.update.message or event.update.callback_query
    if isinstance(subject, CallbackQuery):
        await subject.answer(text[:_LONGEST_ALERT], show_alert=True)
    elif isinstance(subject, Message):
        await subject.answer(f"⚠️ {escape(text)}")
