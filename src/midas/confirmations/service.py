"""Asks users about categories and takes their word: one decision wins, whoever clicks how often, in which process.

A decision is a compare-and-set on the document that was read, so two processes cannot both decide. What waits also
stands in a set sorted by expiry: an expired question is found there by exactly one process, counted, and given back as
an event. Times are the Redis server's, which all processes share.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, cast

from botmetry import LogSettings, Telemetry
from midas.confirmations import keys
from midas.confirmations.confirmation import Confirmation, ConfirmationStatus, moment, pack, unpack
from midas.errors import AlreadyDecided, ConfirmationExpired, NotYours, QueueUnavailable, Unknown
from midas.redis import Availability
from midas.redis.scripts import Call, Script
from midas.redis.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

_ANSWER_SECONDS: Final = 1.0
"""A person waits for the answer to a click."""
_AT_A_TIME: Final = 100


class ConfirmationService:
    """The confirmations of one assistant, for any number of processes.

    Args:
        redis: The client, with ``decode_responses`` off. The service does not close it.
        telemetry: Where decisions are counted and logged; None for nowhere.
        ttl: Seconds that a user has to answer.
        availability: The queue's, so that a Redis that is away is reported once and not twice; None for an own one.
        clock: For tests: the time in seconds since 1970. None takes the Redis server's.
        new_id: Makes ids of at most 40 characters.
    """

    def __init__(
        self,
        redis: Redis,
        telemetry: Telemetry | None = None,
        ttl: float = 86_400.0,
        *,
        availability: Availability | None = None,
        clock: Callable[[], float] | None = None,
        new_id: Callable[[], str] = lambda: secrets.token_urlsafe(9),
    ) -> None:
        self._redis = redis
        self._telemetry = telemetry or Telemetry(service="confirmations", log=LogSettings(output="none"))
        self._ttl_ms = round(ttl * 1000)
        self._availability = availability or Availability(redis, self._telemetry)
        self._sender = Sender(redis, self._availability)
        self._clock = clock
        self._new_id = new_id

    async def create(
        self, user_id: int, transaction_id: int, predicted: str, confidence: float, description: str
    ) -> Confirmation:
        """Ask about a transaction. If a question about it waits already, that one is given and nothing is added.

        Args:
            user_id: Who is asked.
            transaction_id: What about.
            predicted: The category that the AI found.
            confidence: How sure it was, 0..1.
            description: The transaction as the user knows it.

        Raises:
            QueueUnavailable: Redis did not answer within a second; may be repeated.
        """
        now = await self._now_ms()
        asked = Confirmation(
            id=self._new_id(),
            user_id=user_id,
            transaction_id=transaction_id,
            predicted=predicted,
            confidence=confidence,
            description=description,
            created_at=moment(now),
            expires_at=moment(now + self._ttl_ms),
        )
        document = await self._run("create", asked, pack(asked), asked.expires_at_ms, now)
        waiting = unpack(document) or asked
        if waiting.id == asked.id:
            self._log("confirmations.created", asked)
        return waiting

    async def confirm(self, confirmation_id: str, user_id: int) -> Confirmation:
        """The user says that the predicted category is right. Gives the decided confirmation.

        Raises:
            AlreadyDecided: It was decided before, by a first click perhaps; the message says how.
            ConfirmationExpired: The time to answer was over.
            NotYours: It asks another user.
            Unknown: There is no such confirmation, or it was over more than its time ago.
            QueueUnavailable: Redis did not answer within a second; may be repeated.
        """
        return await self._decide(confirmation_id, user_id, ConfirmationStatus.CONFIRMED, None)

    async def correct(self, confirmation_id: str, user_id: int, category: str) -> Confirmation:
        """The user says which category is right; naming the predicted one confirms it. Gives the decided confirmation.

        Raises:
            AlreadyDecided: It was decided before, by a first click perhaps; the message says how.
            ConfirmationExpired: The time to answer was over.
            NotYours: It asks another user.
            Unknown: There is no such confirmation, or it was over more than its time ago.
            QueueUnavailable: Redis did not answer within a second; may be repeated.
        """
        return await self._decide(confirmation_id, user_id, ConfirmationStatus.CORRECTED, category)

    async def reject(self, confirmation_id: str, user_id: int) -> Confirmation:
        """The user wants no category at all. Gives the decided confirmation.

        Raises:
            AlreadyDecided: It was decided before, by a first click perhaps; the message says how.
            ConfirmationExpired: The time to answer was over.
            NotYours: It asks another user.
            Unknown: There is no such confirmation, or it was over more than its time ago.
            QueueUnavailable: Redis did not answer within a second; may be repeated.
        """
        return await self._decide(confirmation_id, user_id, ConfirmationStatus.REJECTED, None)

    async def get(self, confirmation_id: str) -> Confirmation:
        """Look at a confirmation, decided or not.

        Raises:
            Unknown: There is no such confirmation, or it was over more than its time ago.
            QueueUnavailable: Redis did not answer within a second.
        """
        return (await self._read(confirmation_id))[1]

    async def pending(self, user_id: int) -> list[Confirmation]:
        """List what a user is asked, the first to expire first.

        Raises:
            QueueUnavailable: Redis did not answer within a second.
        """
        now = await self._now_ms()
        waiting = keys.user_pending(user_id)
        await self._ask("confirmations.trim", lambda: self._redis.zremrangebyscore(waiting, "-inf", now))
        ids = await self._ask("confirmations.pending", lambda: self._redis.zrange(waiting, 0, -1))
        if not ids:
            return []
        documents = await self._ask("confirmations.pending", lambda: self._redis.hmget(keys.OPEN, ids))
        return [confirmation for confirmation in map(unpack, documents) if confirmation is not None]

    async def pending_count(self, user_id: int | None = None) -> int:
        """Count what a user is asked, or all users: made for ``telemetry.confirmations.watch``.

        Raises:
            QueueUnavailable: Redis did not answer within a second.
        """
        key = keys.DUE if user_id is None else keys.user_pending(user_id)
        after = f"({await self._now_ms()}"
        return int(await self._ask("confirmations.count", lambda: self._redis.zcount(key, after, "+inf")))

    async def expire_due(self) -> list[Confirmation]:
        """Find what nobody answered in time and give it, each confirmation to one caller only.

        To be called every few seconds by some process; two at once do no harm.

        Raises:
            QueueUnavailable: Redis did not answer within a second, and nothing was found until then.
        """
        expired: list[Confirmation] = []
        try:
            while True:
                now = await self._now_ms()
                ids = await self._due(now)
                for confirmation_id in ids:
                    confirmation = await self._expire(confirmation_id.decode(), now)
                    if confirmation is not None:
                        expired.append(confirmation)
                if len(ids) < _AT_A_TIME:
                    return expired
        except QueueUnavailable:
            if not expired:
                raise
            return expired  # nobody will find these again; the rest is found next time

    async def _due(self, now: int) -> list[bytes]:
        found = await self._ask(
            "confirmations.due",
            lambda: self._redis.zrange(keys.DUE, "-inf", now, byscore=True, offset=0, num=_AT_A_TIME),
        )
        return cast("list[bytes]", found)

    async def _expire(self, confirmation_id: str, now: int) -> Confirmation | None:
        document = await self._ask("confirmations.read", lambda: self._redis.hget(keys.OPEN, confirmation_id))
        confirmation = unpack(document)
        if confirmation is None:
            await self._ask("confirmations.drop", lambda: self._redis.zrem(keys.DUE, confirmation_id))
            self._telemetry.log.error("confirmations.unreadable", confirmation_id=confirmation_id)
            return None
        over = confirmation.decided(ConfirmationStatus.EXPIRED, None, now, "")
        # Kept as long again, so that a late click learns that it came too late.
        if await self._run("expire", over, pack(over), self._ttl_ms) == 0:
            return None
        self._telemetry.confirmations.resolved("expired")
        self._log("confirmations.resolved", over)
        return over

    async def _decide(
        self, confirmation_id: str, user_id: int, status: ConfirmationStatus, category: str | None
    ) -> Confirmation:
        decision = secrets.token_hex(8)
        while True:  # a document changes but once after it was asked, so the second round ends
            document, found = await self._read(confirmation_id)
            if found.user_id != user_id:
                raise NotYours(confirmation_id)
            if found.decision == decision:  # our own, whose reply was lost
                return self._resolved(found)
            now = await self._now_ms()
            _check_open(found, now)
            if status is ConfirmationStatus.CONFIRMED or category == found.predicted:
                decided = found.decided(ConfirmationStatus.CONFIRMED, found.predicted, now, decision)
            else:
                decided = found.decided(status, category, now, decision)
            if await self._run("decide", decided, document, pack(decided)) == 1:
                return self._resolved(decided)

    def _resolved(self, confirmation: Confirmation) -> Confirmation:
        self._telemetry.confirmations.resolved(confirmation.status.value, confirmation.waited_seconds)
        self._log("confirmations.resolved", confirmation)
        return confirmation

    async def _read(self, confirmation_id: str) -> tuple[bytes, Confirmation]:
        """Read a document; one that Redis has dropped at its expiry may not have been found expired yet."""
        key = keys.document(confirmation_id)
        document = await self._ask("confirmations.read", lambda: self._redis.get(key))
        if document is None:
            document = await self._ask(
                "confirmations.read", lambda: self._redis.hget(keys.OPEN, confirmation_id)
            )
        confirmation = unpack(document)
        if confirmation is None:
            raise Unknown(confirmation_id)
        return document, confirmation

    async def _run(self, script: str, confirmation: Confirmation, *arguments: bytes | int) -> Any:
        call = Call(
            Script("midas.confirmations", script),
            keys.all_of(confirmation.id, confirmation.user_id),
            (confirmation.id, confirmation.transaction_id, *arguments),
        )
        return await self._sender.send(call, within=_ANSWER_SECONDS)

    async def _ask(self, operation: str, command: Callable[[], Any]) -> Any:
        # redis-py types each reply for sync and async at once.
        asked = cast("Callable[[], Awaitable[Any]]", command)
        return await self._availability.ask(operation, asked, within=_ANSWER_SECONDS)

    async def _now_ms(self) -> int:
        if self._clock is not None:
            return round(self._clock() * 1000)
        seconds, microseconds = await self._ask("confirmations.time", self._redis.time)
        return int(seconds) * 1000 + int(microseconds) // 1000

    def _log(self, event: str, confirmation: Confirmation) -> None:
        self._telemetry.log.info(
            event,
            confirmation_id=confirmation.id,
            user_id=confirmation.user_id,
            transaction_id=confirmation.transaction_id,
            outcome=confirmation.status.value,
            confidence=confirmation.confidence,
        )


def _check_open(confirmation: Confirmation, now_ms: int) -> None:
    if confirmation.status is ConfirmationStatus.EXPIRED:
        raise ConfirmationExpired(confirmation.id)
    if not confirmation.is_pending:
        raise AlreadyDecided(confirmation.id, confirmation.status.value)
    if now_ms >= confirmation.expires_at_ms:
        raise ConfirmationExpired(confirmation.id)
