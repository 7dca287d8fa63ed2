"""What there is and where it went: /balance and /report, with the AI's word on it as a later message."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

from aiogram import F, Router
from aiogram.filters import Command

from midas.bot.errors import TooSlow
from midas.bot.keyboards import Wish, report_keyboard
from midas.bot.prompt import promptly
from midas.bot.texts import balance_text, spending_text
from midas.errors import QueueUnavailable

if TYPE_CHECKING:
    from aiogram.filters import CommandObject
    from aiogram.types import CallbackQuery, Message, User

    from botmetry import Telemetry
    from midas.bot.services import Services
    from midas.bot.watches import Kind
    from midas.store import Store
    from midas.store.reports import Spending

DEFAULT_DAYS: Final = 30
MOST_DAYS: Final = 3660
_RECENT_PAYMENTS: Final = 50  # enough to see in which currency somebody mostly pays
_USAGE: Final = "Please give the days as a number from 1 to 3660, for example /report 90"
QUEUE_SECONDS: Final = 0.3  # the report itself is ready, and the analysis is an addition
_WORKING: Final = "I am working it out: one moment."
_TOO_BUSY: Final = "I have my hands full just now. Please ask again in a minute."
_PAYLOADS: Final[dict[Kind, dict[str, int]]] = {
    "analyze_spending": {"days": DEFAULT_DAYS},
    "budget_recommendation": {"months": 3},
    "find_anomalies": {"days": 90},
}
_PRIORITY: Final = 60  # above a statement's payments: somebody asked for this one and waits


def money_router(telemetry: Telemetry) -> Router:
    """Return the router of /balance, /report and the buttons under a report."""
    router = Router(name="money")

    @router.message(Command("balance"))
    @telemetry.bot.command("balance")
    async def balance(message: Message, event_from_user: User, services: Services) -> None:
        await message.answer(balance_text(await promptly(services.store.reports.balance(event_from_user.id))))

    @router.message(Command("report"))
    @telemetry.bot.command("report")
    async def report(
        message: Message, command: CommandObject, event_from_user: User, services: Services
    ) -> None:
        days = _read_days(command.args)
        if days is None:
            await message.answer(_USAGE)
            return
        user_id = event_from_user.id
        currency, spending = await promptly(_spending(services.store, user_id, days))
        task_ids = await _analysis(services, telemetry, user_id, days) if spending else []
        async with services.deliveries.promised(message.chat.id, user_id, "analyze_spending", task_ids):
            keyboard = report_keyboard() if spending else None
            await message.answer(spending_text(spending, currency, days), reply_markup=keyboard)

    @router.callback_query(Wish.filter(F.task.in_(_PAYLOADS)))
    @telemetry.bot.command("report")
    async def wish(query: CallbackQuery, callback_data: Wish, services: Services) -> None:
        kind = cast("Kind", callback_data.task)
        chat_id = query.message.chat.id if query.message else query.from_user.id
        task_id = await promptly(_queue(services, kind, query.from_user.id, _PAYLOADS[kind]))
        async with services.deliveries.promised(chat_id, query.from_user.id, kind, [task_id]) as promised:
            await query.answer(_WORKING if promised else _TOO_BUSY)

    return router


async def _spending(store: Store, user_id: int, days: int) -> tuple[str, list[Spending]]:
    """Return the currency somebody mostly pays in, and what they spent in it."""
    recent = await store.transactions.recent(user_id, _RECENT_PAYMENTS)
    if not recent:
        return "EUR", []
    currency = Counter(transaction.currency for transaction in recent).most_common(1)[0][0]
    end = datetime.now(UTC) + timedelta(days=1)
    return currency, await store.reports.spending(user_id, end - timedelta(days=days + 1), end, currency)


async def _analysis(services: Services, telemetry: Telemetry, user_id: int, days: int) -> list[str]:
    """Queue the AI's look at the same days; without Redis the report goes out without it."""
    try:
        return [await promptly(_queue(services, "analyze_spending", user_id, {"days": days}), QUEUE_SECONDS)]
    except (QueueUnavailable, TooSlow) as error:
        telemetry.bot.error("report", type(error).__name__)
        return []


async def _queue(services: Services, kind: Kind, user_id: int, arguments: dict[str, int]) -> str:
    """Queue an AI task and return its id."""
    return await services.queue.enqueue_task(kind, {"user_id": user_id, **arguments}, priority=_PRIORITY)


def _read_days(arguments: str | None) -> int | None:
    """Return the number of days, the default where none is given, None where it is not one."""
    if not arguments:
        return DEFAULT_DAYS
    word = arguments.split()[0]
    if not word.isascii() or not word.isdecimal() or len(word) > len(str(MOST_DAYS)):
        return None
    return int(word) if 1 <= int(word) <= MOST_DAYS else None
