"""Decisions that come in writing: `/confirm 4711` and `/correct 4711 groceries`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Final

from midas.bot.cards import Card, first_card
from midas.bot.texts import counted, decided_text
from midas.domain import ASSIGNABLE
from midas.errors import AlreadyDecided, ConfirmationError, UnknownCategory, UnknownTransaction

if TYPE_CHECKING:
    from midas.bot.services import Services
    from midas.confirmations import Confirmation
    from midas.domain import Transaction

MOST_AT_ONCE: Final = 20
"""Decisions in one message: each is a few statements, and all of them together stay well under a second."""

CONFIRM_USAGE: Final = (
    "Please give the number of a payment, such as /confirm 4711, or /confirm all. See /pending."
)
CORRECT_USAGE: Final = (
    "Please give the number of a payment and its category, such as /correct 4711 Groceries. See /pending."
)

_NUMBER: Final = re.compile(r"#?(\d{1,18})")
_CORRECTION: Final = re.compile(r"#?(\d{1,18})[\s:,=]+(\S.*)", re.DOTALL)


async def confirm_numbers(services: Services, user_id: int, words: str) -> Card:
    """Confirm the named questions, or all; without a name, show the first one.

    Raises:
        QueueUnavailable: Redis does not answer.
        StoreUnavailable: PostgreSQL does not answer.
    """
    if not words.strip():
        return await first_card(services, user_id)
    waiting = {
        confirmation.transaction_id: confirmation
        for confirmation in await services.confirmations.pending(user_id)
    }
    numbers = list(waiting) if words.strip().casefold() == "all" else _numbers(words)
    if numbers is None:
        return Card(CONFIRM_USAGE, None)
    lines = [
        await _confirm(services, user_id, number, waiting.get(number)) for number in numbers[:MOST_AT_ONCE]
    ]
    left = await services.confirmations.pending_count(user_id)
    return Card("\n".join([*lines, "", _rest(left)]), None)


async def correct_number(services: Services, user_id: int, words: str) -> Card:
    """File a payment under another category, whether it waits for an answer or was filed before.

    Raises:
        QueueUnavailable: Redis does not answer.
        StoreUnavailable: PostgreSQL does not answer.
    """
    match = _CORRECTION.fullmatch(words.strip())
    if match is None:
        return Card(CORRECT_USAGE, None)
    number, category = int(match[1]), match[2]
    try:
        changed = await _correct(services, user_id, number, category)
    except UnknownCategory as error:
        return Card(_no_category(error), None)
    except UnknownTransaction:
        return Card(_no_payment(number), None)
    left = await services.confirmations.pending_count(user_id)
    return Card(f"{decided_text(changed)}\n\n{_rest(left)}", None)


async def _confirm(services: Services, user_id: int, number: int, confirmation: Confirmation | None) -> str:
    if confirmation is None:
        return f"#{number}: I have no question about this one."
    try:
        return decided_text(await services.sync.confirm(user_id, confirmation.id))
    except AlreadyDecided:
        return f"#{number}: you decided this one already."
    except ConfirmationError:
        return f"#{number}: this question is not open any more."


async def _correct(services: Services, user_id: int, number: int, category: str) -> Transaction:
    for confirmation in await services.confirmations.pending(user_id):
        if confirmation.transaction_id == number:
            try:
                return await services.sync.correct(user_id, confirmation.id, category)
            except ConfirmationError:
                # Somebody pressed a button in the meantime; what is typed now is the later word, and counts.
                break
    return await services.sync.correct_transaction(user_id, number, category)


def _numbers(words: str) -> list[int] | None:
    matches = [_NUMBER.fullmatch(word) for word in words.replace(",", " ").split()]
    return _unique(int(match[1]) for match in matches if match) if all(matches) else None


def _unique(numbers: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


def _rest(left: int) -> str:
    if not left:
        return "Nothing else waits for you."
    return f"{counted(left, 'payment')} still {'waits' if left == 1 else 'wait'} for you: /pending"


def _no_category(error: UnknownCategory) -> str:
    hint = f" Did you mean {error.suggestion}?" if error.suggestion else ""
    return f"There is no category “{escape(error.name[:40])}”.{hint}\n\nThere are: {', '.join(ASSIGNABLE)}."


def _no_payment(number: int) -> str:
    return f"I know no payment #{number} of yours. The numbers are in /pending."
