"""Buttons under messages: what they say, and what comes back when one is pressed."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from midas.domain import ASSIGNABLE

if TYPE_CHECKING:
    from midas.confirmations import Confirmation

_COLUMNS: Final = 3


class Step(StrEnum):
    """What a person does with a question; one letter, since Telegram carries 64 bytes a button."""

    CONFIRM = "y"
    CHANGE = "c"
    PICK = "p"
    BACK = "b"
    LATER = "l"


class Answer(CallbackData, prefix="q", sep="|"):
    """The data of a button under a question."""

    step: Step
    id: str
    """The confirmation."""
    category: int = -1
    """Place in ASSIGNABLE, for PICK."""


class Wish(CallbackData, prefix="w", sep="|"):
    """The data of a button under a report."""

    task: str
    """The type of the AI task that is wanted."""


def question_keyboard(confirmation: Confirmation, waiting: int) -> InlineKeyboardMarkup:
    """Return the buttons of a question: right, something else, and later where `waiting` shows others (2 or more)."""
    rows = [
        [_answer(f"✅ {confirmation.predicted}", confirmation, Step.CONFIRM)],
        [_answer("✏️ Another category", confirmation, Step.CHANGE)],
    ]
    if waiting > 1:
        rows.append([_answer("⏭ Later", confirmation, Step.LATER)])
    return InlineKeyboardMarkup(inline_keyboard=rows)


def category_keyboard(confirmation: Confirmation) -> InlineKeyboardMarkup:
    """Return one button a category that was not proposed, and the way back."""
    buttons = [
        _answer(name, confirmation, Step.PICK, number)
        for number, name in enumerate(ASSIGNABLE)
        if name != confirmation.predicted
    ]
    rows = [buttons[start : start + _COLUMNS] for start in range(0, len(buttons), _COLUMNS)]
    rows.append([_answer("↩️ Back", confirmation, Step.BACK)])
    return InlineKeyboardMarkup(inline_keyboard=rows)


def report_keyboard() -> InlineKeyboardMarkup:
    """Return the buttons of a report: what else the AI can say about the same payments."""
    budget = InlineKeyboardButton(
        text="💡 Suggest a budget", callback_data=Wish(task="budget_recommendation").pack()
    )
    unusual = InlineKeyboardButton(
        text="🔎 Unusual payments", callback_data=Wish(task="find_anomalies").pack()
    )
    return InlineKeyboardMarkup(inline_keyboard=[[budget], [unusual]])


def _answer(text: str, confirmation: Confirmation, step: Step, category: int = -1) -> InlineKeyboardButton:
    data = Answer(step=step, id=confirmation.id, category=category)
    return InlineKeyboardButton(text=text, callback_data=data.pack())
