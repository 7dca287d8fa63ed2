"""Transfers between a user's cards in PostgreSQL: each step a state, so that repeating one changes nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from midas.domain.cards import Card
from midas.domain.money import Money
from midas.errors import NotEnoughMoney, TransferRefused
from midas.store.audit import record_in

if TYPE_CHECKING:
    from datetime import datetime

    from midas.store.connection import Database, Session

# A card holds what `reports.balance` says of its wallet, without what transfers that are not debited yet have reserved.
_AVAILABLE: Final = """
    SELECT w.id, w.account, w.currency,
           coalesce(known.balance, 0) + coalesce(booked.total, 0) - coalesce(held.total, 0) AS amount
    FROM wallets w
    LEFT JOIN LATERAL (
        SELECT balance, taken_at FROM balance_snapshots s WHERE s.wallet_id = w.id ORDER BY taken_at DESC LIMIT 1
    ) known ON true
    LEFT JOIN LATERAL (
        SELECT sum(t.amount) AS total FROM transactions t
        WHERE t.wallet_id = w.id AND t.occurred_at > coalesce(known.taken_at, '-infinity')
    ) booked ON true
    LEFT JOIN LATERAL (
        SELECT sum(h.amount) AS total FROM transfers h WHERE h.from_wallet = w.id AND h.state = 'reserved'
    ) held ON true
    """
_CARDS: Final = f"{_AVAILABLE} WHERE w.user_id = $1 ORDER BY w.account, w.currency"
_CARD: Final = f"{_AVAILABLE} WHERE w.id = $1"
_LOCK_WALLET: Final = "SELECT id FROM wallets WHERE id = $1 FOR UPDATE"
_ASK: Final = """
    INSERT INTO transfers (id, user_id, from_wallet, to_wallet, amount, currency) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (id) DO NOTHING
    """
_LOCK: Final = "SELECT * FROM transfers WHERE id = $1 FOR UPDATE"
_MOVE: Final = "UPDATE transfers SET state = $2, changed_at = now() WHERE id = $1"
_WITHDRAW: Final = """
    UPDATE transfers SET state = 'withdrawn', changed_at = now() WHERE id = $1 AND state = 'asked' RETURNING id
    """
# Later than the latest balance that a bank has told, which else would seem to include it.
_ADD_BOOKING: Final = """
    INSERT INTO transactions (user_id, wallet_id, source, external_id, occurred_at, amount, currency, description,
                              merchant, category, confidence, status, method, categorized_at)
    SELECT $1, $2, 'transfer', $3,
           greatest(now(), (SELECT max(taken_at) FROM balance_snapshots WHERE wallet_id = $2) + interval '1 ms'),
           $4, $5, $6, 'OWN TRANSFER', 'Transfers', 1.0, 'confirmed', 'user', now()
    ON CONFLICT (user_id, source, external_id) DO NOTHING
    """
_REMOVE_BOOKING: Final = """
    DELETE FROM transactions WHERE user_id = $1 AND source = 'transfer' AND external_id = $2
    """
_RECENT: Final = """
    SELECT id, amount, currency, state, created_at FROM transfers WHERE user_id = $1 ORDER BY created_at DESC LIMIT $2
    """
_HELD: Final = frozenset({"reserved", "debited", "credited", "booked"})


class Transfer(NamedTuple):
    """One transfer as it is now."""

    id: str
    amount: Decimal
    currency: str
    state: str
    created_at: datetime


class Transfers:
    """Moves money between a user's cards; every method may be called again with the same effect."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cards(self, user_id: int) -> list[Card]:
        """Give a user's cards with what can be spent from each."""
        return [_card(row) for row in await self._database.rows(_CARDS, user_id)]

    async def recent(self, user_id: int, limit: int = 10) -> list[Transfer]:
        """Give a user's transfers, the latest first."""
        return [Transfer(*row) for row in await self._database.rows(_RECENT, user_id, limit)]

    async def ask(self, transfer_id: str, user_id: int, source: Card, target: Card, amount: Money) -> None:
        """Note what somebody wants; nothing is moved yet."""
        await self._database.rows(
            _ASK,
            transfer_id,
            user_id,
            source.wallet_id,
            target.wallet_id,
            amount.amount,
            amount.currency,
        )

    async def withdraw(self, transfer_id: str) -> bool:
        """Take back a wish that nothing was done about yet: it never will be. False where something was."""
        return await self._database.row(_WITHDRAW, transfer_id) is not None

    async def reserve(self, transfer_id: str) -> None:
        """Keep the amount from being spent by another transfer.

        Raises:
            NotEnoughMoney: The card does not hold it.
            TransferRefused: It was withdrawn or undone, or never asked for.
        """
        async with self._database.transaction() as session:
            transfer = await self._locked(session, transfer_id)
            if transfer["state"] in _HELD:
                return
            if transfer["state"] != "asked":
                raise TransferRefused(f"it was {transfer['state']} before; please send it again")
            # Two transfers from one card: the second one looks when the first one has reserved.
            await session.row(_LOCK_WALLET, transfer["from_wallet"])
            row = await session.row(_CARD, transfer["from_wallet"])
            assert row is not None
            card, wanted = _card(row), Money(transfer["amount"], transfer["currency"])
            if card.available.amount < wanted.amount:
                raise NotEnoughMoney(card.name, card.available, wanted)
            await session.rows(_MOVE, transfer_id, "reserved")

    async def release(self, transfer_id: str) -> bool:
        """Undo ``reserve``; return whether anything may have been reserved."""
        async with self._database.transaction() as session:
            transfer = await session.row(_LOCK, transfer_id)
            if transfer is None:
                return False
            if transfer["state"] in {"asked", "reserved"}:
                await session.rows(_MOVE, transfer_id, "released")
            return bool(transfer["state"] != "withdrawn")

    async def debit(self, transfer_id: str, description: str) -> None:
        """Book the amount off the one card."""
        await self._book_part(transfer_id, "reserved", "debited", description)

    async def undo_debit(self, transfer_id: str) -> None:
        """Undo ``debit``: the amount is reserved again."""
        await self._unbook_part(transfer_id, "debited", "reserved")

    async def credit(self, transfer_id: str, description: str) -> None:
        """Book the amount onto the other card."""
        await self._book_part(transfer_id, "debited", "credited", description)

    async def undo_credit(self, transfer_id: str) -> None:
        """Undo ``credit``."""
        await self._unbook_part(transfer_id, "credited", "debited")

    async def book(self, transfer_id: str) -> None:
        """Make it final."""
        async with self._database.transaction() as session:
            transfer = await self._locked(session, transfer_id)
            if transfer["state"] != "credited":
                _expect(transfer, "booked")
                return
            await session.rows(_MOVE, transfer_id, "booked")
            details = {"amount": str(transfer["amount"]), "currency": transfer["currency"]}
            await record_in(session, transfer["user_id"], "transfer.booked", "transfer", transfer_id, details)

    async def _book_part(self, transfer_id: str, before: str, after: str, description: str) -> None:
        async with self._database.transaction() as session:
            transfer = await self._locked(session, transfer_id)
            if transfer["state"] != before:
                _expect(transfer, after)
                return
            is_debit = after == "debited"
            await session.rows(
                _ADD_BOOKING,
                transfer["user_id"],
                transfer["from_wallet" if is_debit else "to_wallet"],
                _external_id(transfer_id, after),
                -transfer["amount"] if is_debit else transfer["amount"],
                transfer["currency"],
                description,
            )
            await session.rows(_MOVE, transfer_id, after)

    async def _unbook_part(self, transfer_id: str, before: str, after: str) -> None:
        async with self._database.transaction() as session:
            transfer = await self._locked(session, transfer_id)
            if transfer["state"] == before:
                await session.rows(_REMOVE_BOOKING, transfer["user_id"], _external_id(transfer_id, before))
                await session.rows(_MOVE, transfer_id, after)

    @staticmethod
    async def _locked(session: Session, transfer_id: str) -> Any:
        row = await session.row(_LOCK, transfer_id)
        if row is None:
            raise TransferRefused("it was never asked for")
        return row


def _expect(transfer: Any, state: str) -> None:
    """Let pass what was done before.

    Raises:
        TransferRefused: It was undone meanwhile, or a step is missing.
    """
    order = ("asked", "reserved", "debited", "credited", "booked")
    now = transfer["state"]
    if now not in order or order.index(now) < order.index(state):
        raise TransferRefused(f"it is {now} and cannot be {state}")


def _external_id(transfer_id: str, part: str) -> str:
    return f"{transfer_id}-{part}"


def _card(row: Any) -> Card:
    return Card(row["id"], row["account"], Money(row["amount"], row["currency"]))
