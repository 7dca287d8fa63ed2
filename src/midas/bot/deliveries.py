"""What comes later: results of the AI, as a message to whoever waits for them.

A promise is written to Redis before anybody is told of it, and struck out after the message was sent. A bot that dies
in between sends the message after its restart; at worst somebody reads it twice.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiogram.exceptions import TelegramAPIError, TelegramBadRequest, TelegramForbiddenError

from midas.bot.apologies import apology
from midas.bot.errors import TooSlow
from midas.bot.news import NOT_THIS_TIME
from midas.bot.prompt import promptly
from midas.bot.watches import Watch
from midas.errors import (
    QueueUnavailable,
    ResultExpired,
    StoreUnavailable,
    TaskFailed,
    TaskTimeout,
    TaskUnknown,
)
from midas.redis.cancellation import end

if TYPE_CHECKING:
    from aiogram import Bot

    from botmetry import Telemetry
    from midas.bot.news import Newsroom
    from midas.bot.watches import Kind, WatchBook
    from midas.queue import AITaskQueue

T = TypeVar("T")

MOST_PROMISES: Final = 200
"""At once; each is a coroutine that sleeps until Redis wakes it. Beyond them, people look for themselves."""
PATIENCE_SECONDS: Final = 900.0
"""A promise older than this is kept with what is known by then."""
_SENDING_PAUSES: Final = (1.0, 4.0, 15.0, 60.0)
"""Between attempts to send, each of which is several calls already."""
_RESUME_PAUSE_SECONDS: Final = 2.0

Result = dict[str, Any]


class Deliveries:
    """Keeps the bot's promises."""

    def __init__(
        self, bot: Bot, queue: AITaskQueue, book: WatchBook, newsroom: Newsroom, telemetry: Telemetry
    ) -> None:
        """Prepare; nothing is kept before `resume`.

        Args:
            bot: Sends the messages.
            queue: Where the results are.
            book: Where promises are written down.
            newsroom: Writes the messages.
            telemetry: Where deliveries are logged.
        """
        self._bot = bot
        self._queue = queue
        self._book = book
        self._newsroom = newsroom
        self._telemetry = telemetry
        self._tasks: set[asyncio.Task[Any]] = set()
        self._kept: set[str] = set()
        self._is_closed = False

    @asynccontextmanager
    async def promised(
        self,
        chat_id: int,
        user_id: int,
        kind: Kind,
        task_ids: Sequence[str],
        transaction_ids: Sequence[int] = (),
    ) -> AsyncIterator[bool]:
        """Promise to tell a chat how these tasks end, after what the body of the block says now.

        Gives False where there is nothing to promise, or too much is promised already.
        """
        if not self._may_promise(task_ids):
            yield False
            return
        watch = await self._written(secrets.token_hex(8), chat_id, user_id, kind, task_ids, transaction_ids)
        try:
            yield True
        finally:
            self._keep_later(watch)

    async def promise(  # noqa: PLR0917 -- as `Watch` has them
        self,
        watch_id: str,
        chat_id: int,
        user_id: int,
        kind: Kind,
        task_ids: Sequence[str],
        transaction_ids: Sequence[int] = (),
    ) -> None:
        """Promise as `promised` does, after something was said; promising the same `watch_id` again changes nothing."""
        if self._may_promise(task_ids) and watch_id not in self._kept:
            self._keep_later(await self._written(watch_id, chat_id, user_id, kind, task_ids, transaction_ids))

    def resume(self) -> None:
        """Take up the promises of the process before this one, as soon as Redis answers."""
        self._spawn(self._resume(), "resume promises")

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start what may take longer than a handler; the end of the process waits for it a little."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def in_background(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run what a handler cannot wait for; the end of the process waits for it a little."""
        return self._spawn(work, name)

    async def finished_anyway(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end, whoever waits; return its result if that comes while a person waits for it.

        Use it for what must not be cut off in the middle. What fails after the person was answered is logged.

        Raises:
            TooSlow: It goes on, and nobody waits for it any more.
        """
        task = self.begin(work)
        try:
            return await promptly(asyncio.shield(task))
        except TooSlow:
            task.add_done_callback(self._note_late_failure)
            raise

    def _note_late_failure(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._telemetry.log.error("bot.background_failed", task="late", exc_info=task.exception())

    async def aclose(self, grace_seconds: float = 5.0) -> None:
        """Wait a little for what is nearly done, then stop. Promises stay in Redis for the next process."""
        waiting = {task for task in self._tasks if not task.get_name().startswith("promise")}
        if waiting:
            await asyncio.wait(waiting, timeout=grace_seconds)
        self._is_closed = True
        tasks = list(self._tasks)
        await end(*tasks)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _may_promise(self, task_ids: Sequence[str]) -> bool:
        if task_ids and len(self._kept) >= MOST_PROMISES:
            self._telemetry.log.warning("bot.promise_refused", promises=len(self._kept))
            return False
        return bool(task_ids)

    async def _written(  # noqa: PLR0917 -- as `Watch` has them
        self,
        watch_id: str,
        chat_id: int,
        user_id: int,
        kind: Kind,
        task_ids: Sequence[str],
        transaction_ids: Sequence[int],
    ) -> Watch:
        watch = Watch(
            id=watch_id,
            chat_id=chat_id,
            user_id=user_id,
            kind=kind,
            task_ids=tuple(task_ids),
            transaction_ids=tuple(transaction_ids),
            began_at=time.time(),
        )
        try:
            await self._book.write(watch)
        except QueueUnavailable as error:
            # Kept by this process nevertheless; only its successor will not know of it.
            self._telemetry.log.warning("bot.promise_unwritten", reason=str(error))
        return watch

    async def _resume(self) -> None:
        while True:
            try:
                watches = await self._book.read()
                break
            except QueueUnavailable:
                await asyncio.sleep(_RESUME_PAUSE_SECONDS)
        for watch in watches[:MOST_PROMISES]:
            with self._telemetry.context(user_id=watch.user_id):
                self._keep_later(watch)
        if watches:
            self._telemetry.log.info("bot.promises_resumed", count=len(watches))

    def _keep_later(self, watch: Watch) -> None:
        if watch.id in self._kept or self._is_closed:
            return
        self._kept.add(watch.id)
        task = self._spawn(self._keep(watch), f"promise {watch.id}")
        task.add_done_callback(lambda _: self._kept.discard(watch.id))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guarded(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None], name: str) -> None:
        try:
            await work
        except Exception as error:
            # Nobody awaits these tasks, and the bot lives on.
            self._telemetry.log.error("bot.background_failed", task=name, exc_info=error)  # noqa: TRY400 -- not a logger of stdlib

    async def _keep(self, watch: Watch) -> None:
        results = [await self._result(watch, task_id) for task_id in watch.task_ids]
        known = [result for result in results if result is not None]
        text = await self._write(watch, known)
        delivered = await self._send(watch.chat_id, text)
        self._telemetry.log.info(
            "bot.promise_kept",
            kind=watch.kind,
            tasks=len(watch.task_ids),
            failed=len(results) - len(known),
            delivered=delivered,
            waited_seconds=round(watch.age_seconds(), 3),
        )
        await self._strike(watch.id)

    async def _result(self, watch: Watch, task_id: str) -> Result | None:
        """Return a task's result, None when it has none; while Redis is away, wait for it."""
        while True:
            left = PATIENCE_SECONDS - watch.age_seconds()
            try:
                return await self._queue.get_result(task_id, timeout=max(0.0, left))
            except (TaskFailed, TaskTimeout, TaskUnknown, ResultExpired):
                return None
            except (QueueUnavailable, TimeoutError):
                if left <= 0:
                    return None
                await self._queue.availability.pause(at_most=left)

    async def _write(self, watch: Watch, results: Sequence[Result]) -> str:
        while True:
            try:
                return await self._newsroom.write(watch, results)
            except StoreUnavailable as error:
                if watch.age_seconds() > PATIENCE_SECONDS:
                    return apology(error)
                await asyncio.sleep(_RESUME_PAUSE_SECONDS)
            except Exception as error:
                # A result that nobody can make sense of must not be tried again at every start.
                self._telemetry.log.error("bot.news_unwritten", kind=watch.kind, exc_info=error)  # noqa: TRY400
                return NOT_THIS_TIME

    async def _send(self, chat_id: int, text: str) -> bool:
        for pause in (*_SENDING_PAUSES, None):
            try:
                await self._bot.send_message(chat_id, text)
            except (TelegramForbiddenError, TelegramBadRequest) as error:
                # Blocked, or the chat is gone: no attempt will ever succeed.
                self._telemetry.log.info("bot.delivery_refused", reason=str(error))
                return False
            except TelegramAPIError as error:
                if pause is None:
                    self._telemetry.log.warning("bot.delivery_lost", reason=str(error))
                    return False
                await asyncio.sleep(pause)
            else:
                return True
        return False

    async def _strike(self, watch_id: str) -> None:
        while True:
            try:
                await self._book.strike(watch_id)
            except QueueUnavailable:
                await self._queue.availability.pause(at_most=_RESUME_PAUSE_SECONDS)
            else:
                return
