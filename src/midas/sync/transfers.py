"""Moving money between a user's cards as a saga: whichever process dies, all of it is moved, or nothing.

::

    reserve   keep the amount from being spent otherwise   undone by releasing it
    debit     book it off the one card                     undone by removing the booking
    credit    book it onto the other card                  undone by removing the booking
    book      make it final                                the pivot
    notify    have the user told                           tried until it succeeds

What was asked for lies in PostgreSQL before the saga begins. Where it cannot be begun, because Redis is away, the wish
is withdrawn there: a saga that was begun nevertheless finds nothing to do, and whoever asks again moves the money once.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final, Self

import msgspec

from midas.domain.cards import Card, find_card
from midas.domain.money import Money, decimals
from midas.errors import NotEnoughMoney, QueueUnavailable, TransferRefused, TransferUnsettled
from midas.queue import TaskPriority, TaskQueue
from midas.saga import SagaConfig, SagaOrchestrator, SagaState, SagaStep, StepKind, StepState, current_step
from midas.sync.notices import TELL_TRANSFERRED, TransferNotice, notices_config

if TYPE_CHECKING:
    from types import TracebackType

    from botmetry import Telemetry
    from midas.redis import Availability
    from midas.store import Store

TRANSFERS: Final = "card-transfer"
"""Name of the saga."""

_DEADLINE_SECONDS: Final = 300.0
"""Money that moves later than somebody remembers having asked for it would be a surprise."""
_PATIENT: Final = 20
_SECONDS: Final = 35.0
"""A step gives up after PostgreSQL has given up its statement, and not before."""

_NAMES: Final = re.compile(r"^[a-z]+: [A-Za-z]+: ")


class TransferContext(msgspec.Struct, kw_only=True, frozen=True):
    """What the steps know; the amounts that count are in PostgreSQL.

    Attributes:
        from_card: What the card is called.
        to_card: What the card is called.
    """

    user_id: int
    chat_id: int
    amount: Decimal
    currency: str
    from_card: str
    to_card: str


class CardTransfers:
    """Moves money between cards, and finishes what processes that died had begun. Use it as an async context manager.

    Args:
        store: Where cards and transfers are.
        redis_url: Where sagas and notices are.
        availability: Whether that Redis answers.
        telemetry: Where everything is counted.

    Raises:
        ValueError: The address is none.
    """

    def __init__(
        self, store: Store, redis_url: str, availability: Availability, telemetry: Telemetry
    ) -> None:
        self._store = store
        self._notices = TaskQueue(
            notices_config(redis_url), telemetry, max_connections=4, availability=availability
        )
        config = SagaConfig(
            redis_url=redis_url,
            name=TRANSFERS,
            context_type=TransferContext,
            deadline=_DEADLINE_SECONDS,
            compensation_retries=_PATIENT,
            concurrency=20,
        )
        self._awaited: Counter[str] = Counter()
        """How many callers here wait for the end of which transfer."""
        self._sagas = SagaOrchestrator(self._steps(), config, telemetry=telemetry, availability=availability)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave what is not finished to other processes."""
        await self._sagas.aclose()
        await self._notices.aclose()

    async def run_recovery(self, stop: asyncio.Event) -> None:
        """Finish the transfers of processes that died, until told to stop."""
        await self._sagas.run_recovery(stop)

    async def cards(self, user_id: int) -> list[Card]:
        """Give a user's cards with what can be spent from each.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
        """
        return await self._store.transfers.cards(user_id)

    async def transfer(  # noqa: PLR0917 -- as people say it: so much, from here, to there
        self,
        user_id: int,
        chat_id: int,
        amount: tuple[Decimal, str | None],
        source: str,
        target: str,
        transfer_id: str,
    ) -> None:
        """Move money, and have the user told by a notice once it is moved, or when it had to be given back.

        Args:
            user_id: Whose cards they are.
            chat_id: Whom to tell.
            amount: How much, and of which currency where that was said.
            source: From which card, as the user names it.
            target: To which card, as the user names it.
            transfer_id: The same for the same wish: asked for twice, it is done once.

        Raises:
            TransferRefused: It cannot be, and nothing was moved; nobody else tells the user.
            TransferUnsettled: Somebody has to look after it.
            QueueUnavailable: Redis does not answer, and nothing was or will be moved.
            StoreUnavailable: PostgreSQL does not answer, and nothing was or will be moved.
        """
        cards = await self.cards(user_id)
        from_card, to_card = find_card(cards, source), find_card(cards, target)
        money = _checked(amount, from_card, to_card)
        await self._store.transfers.ask(transfer_id, user_id, from_card, to_card, money)
        context = TransferContext(
            user_id=user_id,
            chat_id=chat_id,
            amount=money.amount,
            currency=money.currency,
            from_card=from_card.name,
            to_card=to_card.name,
        )
        self._awaited[transfer_id] += 1
        try:
            result = await self._sagas.execute(context, saga_id=transfer_id)
        except QueueUnavailable:
            await self._store.transfers.withdraw(transfer_id)
            raise
        finally:
            self._awaited -= Counter({transfer_id: 1})
        if not result.state.is_over:
            raise TransferUnsettled(transfer_id)
        if result.state is not SagaState.COMPLETED and result.steps["reserve"] is not StepState.COMPENSATED:
            raise TransferRefused(_plain(result.error or "it could not be begun"))

    # The steps ---------------------------------------------------------------------------------------------

    def _steps(self) -> list[SagaStep]:
        step = partial(SagaStep, timeout=_SECONDS, retries=_PATIENT, terminal=(TransferRefused,))
        return [
            step("reserve", self._reserve, self._release),
            step("debit", self._debit, self._undo_debit),
            step("credit", self._credit, self._undo_credit),
            step("book", self._book, None, kind=StepKind.PIVOT),
            step("notify", self._notify, None),
        ]

    async def _reserve(self, context: TransferContext) -> None:
        transfer_id = current_step().saga_id
        try:
            await self._store.transfers.reserve(transfer_id)
        except NotEnoughMoney:
            if (
                transfer_id not in self._awaited
            ):  # the process that was asked died, and with it whom we would tell
                await self._tell(context, done=False)
            raise

    async def _release(self, context: TransferContext) -> None:
        if await self._store.transfers.release(current_step().saga_id):
            await self._tell(context, done=False)

    async def _debit(self, context: TransferContext) -> None:
        await self._store.transfers.debit(current_step().saga_id, f"TRANSFER TO {context.to_card}")

    async def _undo_debit(self, _: TransferContext) -> None:
        await self._store.transfers.undo_debit(current_step().saga_id)

    async def _credit(self, context: TransferContext) -> None:
        await self._store.transfers.credit(current_step().saga_id, f"TRANSFER FROM {context.from_card}")

    async def _undo_credit(self, _: TransferContext) -> None:
        await self._store.transfers.undo_credit(current_step().saga_id)

    async def _book(self, _: TransferContext) -> None:
        await self._store.transfers.book(current_step().saga_id)

    async def _notify(self, context: TransferContext) -> None:
        await self._tell(context, done=True)

    async def _tell(self, context: TransferContext, *, done: bool) -> None:
        run = current_step()
        notice = TransferNotice(
            user_id=context.user_id,
            chat_id=context.chat_id,
            amount=context.amount,
            currency=context.currency,
            from_card=context.from_card,
            to_card=context.to_card,
            done=done,
        )
        task_id = f"{run.saga_id}-{'done' if done else 'undone'}"
        await self._notices.add_task(
            TELL_TRANSFERRED, msgspec.to_builtins(notice), TaskPriority.HIGH, task_id=task_id
        )


def _checked(amount: tuple[Decimal, str | None], source: Card, target: Card) -> Money:
    """Give the amount as it is moved.

    Raises:
        TransferRefused: It is none, or cannot go from the one card to the other.
    """
    number, said = amount
    currency = source.available.currency
    if source.wallet_id == target.wallet_id:
        raise TransferRefused(f"{source.name} is one card: name another one to move money to")
    if target.available.currency != currency:
        raise TransferRefused(
            f"{source.name} is in {currency} and {target.name} in {target.available.currency}; I do not change money"
        )
    if said not in {None, currency}:
        raise TransferRefused(f"{source.name} is in {currency} and not in {said}")
    if number <= 0:
        raise TransferRefused("an amount is more than nothing")
    if number != number.quantize(Decimal(1).scaleb(-decimals(currency))):
        raise TransferRefused(f"{currency} has {decimals(currency)} decimals, and {number} has more")
    return Money(number, currency)


def _plain(error: str) -> str:
    """Leave out of a saga's error the names of step and exception: it is for a person."""
    return _NAMES.sub("", error)
