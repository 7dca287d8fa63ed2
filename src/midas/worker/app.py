"""The worker as a process: opens what it needs, works until told to stop, gives back what it could not finish."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, cast

from botmetry import Telemetry
from botmetry.integrations import redis as observed_redis
from midas.ai import Categorizer, LanguageModel
from midas.confirmations import ConfirmationService
from midas.confirmations.keys import EXPIRY_LEASE
from midas.queue import AITaskQueue, LeaseKeeper, QueueKeys, connect, connect_from_thread
from midas.store import open_store
from midas.sync import SyncService
from midas.worker.consumer import Consumer
from midas.worker.duties import Duty, perform
from midas.worker.handlers import Handlers
from midas.worker.store_gate import StoreGate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from midas.queue import Task
    from midas.settings import Settings
    from midas.store import Store

RECOVERY_SECONDS: Final = 2.0
"""How often tasks of dead workers are looked for: with a lease of 15 s a task is with another worker within 20 s."""
EXPIRY_SECONDS: Final = 30.0
"""How often expired confirmations are looked for; they live for a day."""
_PING_SECONDS: Final = 1.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


async def run_worker(
    settings: Settings,
    *,
    worker_id: str,
    metrics_port: int,
    concurrency: int = 4,
    ready: asyncio.Event | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Run tasks until `stop` is set or the process gets SIGTERM or SIGINT; a second signal gives back what runs.

    Args:
        settings: Where PostgreSQL, Redis and the language model are.
        worker_id: Who this is, in log lines and in the queue.
        metrics_port: TCP port of the metrics, 0 for a free one.
        concurrency: Tasks at a time.
        ready: Is set once tasks are taken.
        stop: Ends the worker when it is set.

    Raises:
        SettingsError: A setting is missing or impossible.
        StoreUnavailable: PostgreSQL does not answer.
        QueueUnavailable: Redis does not answer.
        OSError: The port of the metrics is taken.
    """
    ready, stop, hurry = ready or asyncio.Event(), stop or asyncio.Event(), asyncio.Event()
    telemetry = Telemetry(service="midas-worker", log=settings.log)
    try:
        with _stopped_by_signals(stop, hurry):
            async with AsyncExitStack() as stack:
                server = await stack.enter_async_context(telemetry.serve(port=metrics_port))
                consumer, keeper = await stack.enter_async_context(
                    _open(settings, telemetry, worker_id, concurrency)
                )
                telemetry.log.info("worker.started", worker_id=worker_id, metrics=server.url)
                ready.set()
                await consumer.run(keeper, stop, hurry)
                telemetry.log.info("worker.stopped", worker_id=worker_id)
    finally:
        telemetry.close()


@asynccontextmanager
async def _open(
    settings: Settings, telemetry: Telemetry, worker_id: str, concurrency: int
) -> AsyncIterator[tuple[Consumer, LeaseKeeper]]:
    """Open the layers below the worker, and close them at the end."""
    redis_url = settings.required("redis_url")
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings.required("database_url"), telemetry))
        redis = connect(redis_url)
        stack.push_async_callback(redis.aclose)
        stack.callback(observed_redis.instrument(redis, telemetry))
        queue = await stack.enter_async_context(AITaskQueue(redis, telemetry=telemetry))
        await _ping(queue, redis)
        confirmations = ConfirmationService(redis, telemetry, availability=queue.availability)
        sync = SyncService(
            store,
            queue,
            Categorizer(store.merchants, await _model(settings, telemetry, stack), telemetry),
            confirmations,
            telemetry,
            auto_confirm_threshold=settings.auto_confirm_threshold,
        )
        gate = StoreGate(store.check, telemetry)
        stack.push_async_callback(gate.aclose)
        handlers = Handlers(store, sync, telemetry).by_type()
        consumer = Consumer(queue, handlers, gate, telemetry, worker_id=worker_id, concurrency=concurrency)
        _report(telemetry, store, queue, redis, consumer)
        duties = _duties(queue, confirmations)
        await stack.enter_async_context(_performed(duties, redis, queue, telemetry))
        keeper = stack.enter_context(_keeper(redis_url, queue, consumer))
        yield consumer, keeper


async def _model(settings: Settings, telemetry: Telemetry, stack: AsyncExitStack) -> LanguageModel | None:
    """Open the language model, which there is only with a key."""
    if not settings.deepseek_api_key:
        return None
    model = LanguageModel(
        api_key=settings.deepseek_api_key,
        base_url=settings.llm_base_url,
        model=settings.llm_model,
        telemetry=telemetry,
    )
    return await stack.enter_async_context(model)


def _report(telemetry: Telemetry, store: Store, queue: AITaskQueue, redis: Redis, consumer: Consumer) -> None:
    telemetry.add_check("postgresql", store.check)
    telemetry.add_check("redis", lambda: _ping(queue, redis))
    telemetry.add_check("consumer", consumer.check)


def _duties(queue: AITaskQueue, confirmations: ConfirmationService) -> tuple[Duty, ...]:
    lease = QueueKeys(queue.name).lease("recovery")
    return (
        Duty("recover tasks", RECOVERY_SECONDS, lease, queue.recover),
        Duty("expire confirmations", EXPIRY_SECONDS, EXPIRY_LEASE, confirmations.expire_due),
    )


@asynccontextmanager
async def _performed(
    duties: tuple[Duty, ...], redis: Redis, queue: AITaskQueue, telemetry: Telemetry
) -> AsyncIterator[None]:
    running = [
        asyncio.create_task(perform(duty, redis, queue.availability, telemetry), name=duty.name)
        for duty in duties
    ]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@contextmanager
def _keeper(redis_url: str, queue: AITaskQueue, consumer: Consumer) -> Iterator[LeaseKeeper]:
    loop = asyncio.get_running_loop()

    def lost(task: Task) -> None:
        with suppress(RuntimeError):  # the loop is closed: nothing runs any more
            loop.call_soon_threadsafe(consumer.lose, task)

    with LeaseKeeper(connect_from_thread(redis_url), queue.moves, queue.availability, lost) as keeper:
        yield keeper


async def _ping(queue: AITaskQueue, redis: Redis) -> None:
    # redis-py types the reply for sync and async at once.
    ping = cast("Callable[[], Awaitable[Any]]", redis.ping)
    await queue.availability.ask("", ping, within=_PING_SECONDS)


@contextmanager
def _stopped_by_signals(stop: asyncio.Event, hurry: asyncio.Event) -> Iterator[None]:
    """Have SIGTERM and SIGINT set `stop`, and the second of them `hurry`, where signals can be had."""
    loop = asyncio.get_running_loop()

    def told() -> None:
        (hurry if stop.is_set() else stop).set()

    installed = []
    for number in _SIGNALS:
        with suppress(ValueError, RuntimeError, NotImplementedError):
            loop.add_signal_handler(number, told)
            installed.append(number)
    try:
        yield
    finally:
        for number in installed:
            loop.remove_signal_handler(number)
