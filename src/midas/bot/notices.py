"""Sends what is in the queue of notices: tried again while Telegram is busy or broken, and said once.

A notice that was sent is marked in Redis under its task's id, so that a task which comes back, because its bot died
before it could say that it was done, is not said again. Between Telegram's answer and the mark lies a moment in which
a death makes somebody read it twice.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError, TelegramRetryAfter

from midas.bot import keys
from midas.bot.persistence import deferring
from midas.bot.texts import imported_text, not_imported_text, transferred_text
from midas.errors import QueueUnavailable
from midas.queue import Retry, StreamTask, TaskQueue, Worker
from midas.redis import end
from midas.sync import ImportReport
from midas.sync.intake import categorization_id
from midas.sync.notices import TELL_IMPORTED, TELL_TRANSFERRED, ImportNotice, TransferNotice

if TYPE_CHECKING:
    from aiogram import Bot
    from redis.asyncio import Redis

    from botmetry import Telemetry
    from midas.bot.deliveries import Deliveries

_AT_A_TIME: Final = 20
"""Telegram takes thirty messages a second from a bot."""
_MARKED_SECONDS: Final = 86_400
"""As long as the queue knows a task's id."""
_MOST_MARKS: Final = 10_000
_ANSWER_SECONDS: Final = 2.0
_DRAIN_SECONDS: Final = 5.0
_LAST_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.02
_AGAIN_SECONDS: Final = 2.0


class Notices:
    """Runs the tasks of the queue of notices in the bot's process.

    Args:
        queue: Where they are.
        bot: Sends them.
        deliveries: Keeps what they promise.
        redis: Where it is marked that they were sent.
        telemetry: Where failures are logged.
    """

    def __init__(
        self, queue: TaskQueue, bot: Bot, deliveries: Deliveries, redis: Redis, telemetry: Telemetry
    ) -> None:
        self._queue = queue
        self._bot = bot
        self._deliveries = deliveries
        self._redis = redis
        self._telemetry = telemetry
        handlers = {TELL_IMPORTED: self._imported, TELL_TRANSFERRED: self._transferred}
        self._worker = Worker(queue, handlers, _AT_A_TIME, drain_seconds=_DRAIN_SECONDS)
        self._running: asyncio.Task[None] | None = None
        self._unmarked: dict[str, None] = {}

    def start(self) -> None:
        """Begin to send."""
        self._running = asyncio.create_task(self._run(), name="notices")

    async def aclose(self) -> None:
        """Send what is in line, for a short while, finish what is under way, and leave the rest to the next process."""
        if self._running is None:
            return
        with suppress(TimeoutError, QueueUnavailable):
            async with asyncio.timeout(_LAST_SECONDS):
                while (await self._queue.statistics()).ready:  # noqa: ASYNC110 -- it is in Redis and tells nobody
                    await asyncio.sleep(_LOOK_SECONDS)
        self._worker.stop()
        await asyncio.wait({self._running}, timeout=2 * _DRAIN_SECONDS)
        await end(self._running)

    async def _run(self) -> None:
        while True:
            try:
                return await self._worker.run(handle_signals=False)
            except Exception as error:
                # Nobody awaits this task, and the bot lives on.
                self._telemetry.log.error("bot.notices_failed", exc_info=error)  # noqa: TRY400 -- not a logger of stdlib
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _imported(self, task: StreamTask) -> dict[str, Any]:
        notice = msgspec.convert(task.payload, ImportNotice)
        with self._telemetry.context(user_id=notice.user_id):
            report = ImportReport(
                notice.found, notice.new, notice.found - notice.new, notice.queued, notice.source
            )
            text = imported_text(notice.name, report) if notice.done else not_imported_text(notice.name)
            told = await self._tell(task, notice.chat_id, text)
            if told:
                await self._deliveries.promise(
                    task.id,
                    notice.chat_id,
                    notice.user_id,
                    "categorization",
                    [categorization_id(number) for number in notice.transaction_ids],
                    notice.transaction_ids,
                )
        return {"told": told}

    async def _transferred(self, task: StreamTask) -> dict[str, Any]:
        notice = msgspec.convert(task.payload, TransferNotice)
        with self._telemetry.context(user_id=notice.user_id):
            return {"told": await self._tell(task, notice.chat_id, transferred_text(notice))}

    async def _tell(self, task: StreamTask, chat_id: int, text: str) -> bool:
        """Send a message once; return whether it was sent, now or before.

        Raises:
            Retry: Telegram says when to come again.
            TelegramAPIError: It could not be sent.
            QueueUnavailable: Nobody can say whether it was sent before.
        """
        if await self._is_marked(task.id):
            return True
        try:
            with deferring():
                await self._bot.send_message(chat_id, text)
        except (TelegramForbiddenError, TelegramBadRequest) as error:
            # Blocked, or the chat is gone: no attempt will ever succeed.
            self._telemetry.log.info("bot.delivery_refused", reason=str(error))
            return False
        except TelegramRetryAfter as error:
            raise Retry(str(error), delay=float(error.retry_after)) from error
        await self._mark(task.id)
        return True

    async def _is_marked(self, task_id: str) -> bool:
        if task_id in self._unmarked:
            return True
        key = keys.told(task_id)
        return bool(
            await self._queue.availability.ask(
                "bot.told", lambda: self._redis.exists(key), within=_ANSWER_SECONDS
            )
        )

    async def _mark(self, task_id: str) -> None:
        key = keys.told(task_id)
        try:
            await self._queue.availability.ask(
                "bot.tell", lambda: self._redis.set(key, b"", ex=_MARKED_SECONDS), within=_ANSWER_SECONDS
            )
        except QueueUnavailable:
            # This process remembers it; only its successor will not know.
            self._unmarked[task_id] = None
            if len(self._unmarked) > _MOST_MARKS:
                self._unmarked.pop(next(iter(self._unmarked)))
