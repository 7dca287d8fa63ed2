"""The layers below the bot, opened together: PostgreSQL, Redis, the queue and what is built on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, cast

from midas.ai import Categorizer
from midas.bot.deliveries import Deliveries
from midas.bot.news import Newsroom
from midas.bot.noted_queue import NotedQueue
from midas.bot.notices import Notices
from midas.bot.services import Services
from midas.bot.watches import WatchBook
from midas.confirmations import ConfirmationService
from midas.errors import SettingsError
from midas.queue import TaskQueue
from midas.redis import connect, pool_state
from midas.store import open_store
from midas.sync import CardTransfers, StatementImports, SyncService
from midas.sync.notices import notices_config

if TYPE_CHECKING:
    from aiogram import Bot
    from redis.asyncio import Redis

    from botmetry import Telemetry
    from midas.queue import AITaskQueue
    from midas.settings import Settings

QUEUE: Final = "ai"
_PING_SECONDS: Final = 1.0


@asynccontextmanager
async def open_services(settings: Settings, telemetry: Telemetry, bot: Bot) -> AsyncIterator[Services]:
    """Open everything, have it watched, and close it at the end.

    Raises:
        SettingsError: An address is missing or none.
        StoreUnavailable: PostgreSQL does not answer.
        QueueUnavailable: Redis does not answer.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings.required("database_url"), telemetry))
        redis = _client(settings)
        stack.push_async_callback(redis.aclose)
        queue = await stack.enter_async_context(NotedQueue(redis, QUEUE, telemetry))
        await _ping(queue, redis)
        confirmations = ConfirmationService(redis, telemetry, availability=queue.availability)
        sync = SyncService(
            store,
            queue,
            Categorizer(store.merchants, None, telemetry),
            confirmations,
            telemetry,
            imports=await stack.enter_async_context(
                StatementImports(store, queue, confirmations, settings.redis_url, telemetry)
            ),
            auto_confirm_threshold=settings.auto_confirm_threshold,
        )
        transfers = await stack.enter_async_context(
            CardTransfers(store, settings.redis_url, queue.availability, telemetry)
        )
        newsroom = Newsroom(store)
        deliveries = Deliveries(bot, queue, WatchBook(redis, queue.availability), newsroom, telemetry)
        outbox = await stack.enter_async_context(
            TaskQueue(notices_config(settings.redis_url), telemetry, availability=queue.availability)
        )
        notices = Notices(outbox, bot, deliveries, redis, telemetry)
        stack.push_async_callback(notices.aclose)
        # Before the notices end: what is finished now is told by one of them.
        stack.push_async_callback(deliveries.aclose)
        telemetry.add_check("postgresql", store.check)
        telemetry.add_check("redis", lambda: _ping(queue, redis))
        telemetry.queue.watch(QUEUE, queue.state)
        telemetry.confirmations.watch(confirmations.pending_count)
        telemetry.redis.watch_pool(lambda: pool_state(redis))
        yield Services(store, queue, confirmations, sync, deliveries, notices, transfers)


def _client(settings: Settings) -> Redis:
    try:
        return connect(settings.required("redis_url"))
    except ValueError as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError("REDIS_URL", f"cannot be read ({error})") from None


async def _ping(queue: AITaskQueue, redis: Redis) -> None:
    # redis-py types the reply for sync and async at once.
    ping = cast("Callable[[], Awaitable[object]]", redis.ping)
    await queue.availability.ask("", ping, within=_PING_SECONDS)
