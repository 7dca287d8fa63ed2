"""The worker as a process: opens what it needs, works until told to stop, gives back what it could not finish."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from botmetry import Telemetry
from midas.ai import Categorizer, LanguageModel
from midas.confirmations import ConfirmationService
from midas.confirmations.keys import EXPIRY_LEASE
from midas.errors import SettingsError, StoreUnavailable
from midas.queue import AITaskQueue, LeaseKeeper
from midas.redis import check_server, connect, connect_from_thread, pool_state
from midas.redis.cancellation import end
from midas.redis.duties import Duty, perform
from midas.signals import stopped_by_signals
from midas.store import open_store
from midas.sync import CardTransfers, StatementImports, SyncService
from midas.worker.consumer import Consumer
from midas.worker.handlers import Services, handlers
from midas.worker.store_gate import StoreGate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping

    from redis.asyncio import Redis

    from midas.queue import Task
    from midas.settings import Settings
    from midas.store import Store
    from midas.worker.consumer import Handler

Recovery: TypeAlias = "Callable[[asyncio.Event], Coroutine[Any, Any, None]]"

CONCURRENCY: Final = 4
"""Tasks at a time in one process: they wait for a language model most of the time, and it answers few at once."""
DRAIN_SECONDS: Final = 20.0
"""Time to finish what runs when told to stop: most tasks end within a second, and a restart is not to wait for ever."""
RECOVERY_SECONDS: Final = 2.0
"""How often tasks of dead workers are looked for: with a lease of 15 s a task is with another worker within 20 s."""
EXPIRY_SECONDS: Final = 10.0
"""How often expired confirmations are looked for; they live for a day."""
TAKE_UP_SECONDS: Final = 60.0
"""How often transactions are looked for that were stored while Redis was away, and imports that died in the middle."""
_IMPORT_SECONDS: Final = 3600.0
"""An import takes seconds; one that began an hour ago has no process any more."""
_FILE_SECONDS: Final = 30 * 86_400.0
"""A file whose import stands still waits so long for a person; after that, keeping it would be hoarding."""
_PING_SECONDS: Final = 1.0


async def run_worker(
    settings: Settings,
    *,
    worker_id: str,
    metrics_port: int,
    ready: asyncio.Event | None = None,
    stop: asyncio.Event | None = None,
    concurrency: int = CONCURRENCY,
    drain_seconds: float = DRAIN_SECONDS,
) -> None:
    """Run tasks until `stop` is set or the process gets SIGTERM or SIGINT; what runs is finished, the rest given back.

    A second signal gives everything back at once. PostgreSQL and Redis may go away and come back at any later time;
    only at the start it is an error when one does not answer.

    Args:
        settings: Where PostgreSQL, Redis and the language model are.
        worker_id: Who this is, in log lines and in the queue.
        metrics_port: TCP port of the metrics, 0 for a free one.
        ready: Is set once tasks are taken.
        stop: Ends the worker when it is set.
        concurrency: Tasks at a time.
        drain_seconds: Time to finish what runs.

    Raises:
        SettingsError: A setting is missing or impossible.
        StoreUnavailable: PostgreSQL does not answer.
        QueueUnavailable: Redis does not answer.
        UnsafeServer: Redis may throw tasks away, or is too old.
        OSError: The port of the metrics is taken.
    """
    ready, stop, hurry = ready or asyncio.Event(), stop or asyncio.Event(), asyncio.Event()
    telemetry = Telemetry(service="midas-worker", log=settings.log)
    try:
        with telemetry.context(worker_id=worker_id), stopped_by_signals(stop, hurry.set):
            async with AsyncExitStack() as stack:
                # Before the server: whoever asks early is told that we are not ready.
                telemetry.add_check("consumer", _not_started)
                server = await stack.enter_async_context(telemetry.serve(port=metrics_port))
                handled = await stack.enter_async_context(_open(settings, telemetry))
                consumer = Consumer(
                    handled.queue,
                    handled.handlers,
                    handled.gate,
                    telemetry,
                    worker_id=worker_id,
                    concurrency=concurrency,
                    drain_seconds=drain_seconds,
                )
                telemetry.add_check("consumer", consumer.check)
                keeper = stack.enter_context(_keeper(settings.redis_url, handled.queue, consumer))
                telemetry.log.info("worker.started", metrics=server.url)
                ready.set()
                await consumer.run(keeper, stop, hurry)
                telemetry.log.info("worker.stopped")
    finally:
        telemetry.close()


@dataclass(frozen=True, slots=True)
class _Backends:
    """What a consumer works with."""

    queue: AITaskQueue
    handlers: Mapping[str, Handler]
    gate: StoreGate


def _not_started() -> None:
    raise RuntimeError("the worker is starting")


@asynccontextmanager
async def _open(settings: Settings, telemetry: Telemetry) -> AsyncIterator[_Backends]:
    """Open the layers below the worker, have them watched and looked after, and close them at the end."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings.required("database_url"), telemetry))
        redis = _client(settings)
        stack.push_async_callback(redis.aclose)
        queue = await stack.enter_async_context(AITaskQueue(redis, telemetry=telemetry))
        await check_server(redis, queue.availability, "tasks", needs_waitaof=False, within=_PING_SECONDS)
        confirmations = ConfirmationService(redis, telemetry, availability=queue.availability)
        sync = SyncService(
            store,
            queue,
            Categorizer(store.merchants, await _model(settings, telemetry, stack), telemetry),
            confirmations,
            telemetry,
            auto_confirm_threshold=settings.auto_confirm_threshold,
        )
        imports = StatementImports(store, queue, confirmations, settings.redis_url, telemetry)
        await stack.enter_async_context(imports)
        transfers = CardTransfers(store, settings.redis_url, queue.availability, telemetry)
        await stack.enter_async_context(transfers)
        await stack.enter_async_context(_recovering(telemetry, imports.run_recovery, transfers.run_recovery))
        gate = StoreGate(store.check, telemetry)
        stack.push_async_callback(gate.aclose)
        telemetry.add_check("postgresql", store.check)
        telemetry.add_check("redis", lambda: _ping(queue, redis))
        telemetry.queue.watch(queue.name, queue.state)
        telemetry.confirmations.watch(confirmations.pending_count)
        telemetry.redis.watch_pool(lambda: pool_state(redis))
        await stack.enter_async_context(
            _performed(_duties(queue, sync, store, gate), redis, queue, telemetry)
        )
        yield _Backends(queue, handlers(Services(store, sync, telemetry)), gate)


def _client(settings: Settings) -> Redis:
    try:
        return connect(settings.required("redis_url"))
    except ValueError as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError("REDIS_URL", f"cannot be read ({error})") from None


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


def _duties(queue: AITaskQueue, sync: SyncService, store: Store, gate: StoreGate) -> tuple[Duty, ...]:
    def with_store(action: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            if not gate.is_open:
                return
            try:
                await store.check()  # before anything is found expired that could not be written down
                await action()
            except StoreUnavailable as error:
                gate.close_for(error)

        return act

    async def take_up() -> None:
        await sync.take_up()
        await store.sync_runs.abandon_started_before(datetime.now(UTC) - timedelta(seconds=_IMPORT_SECONDS))
        await store.imports.forget_before(datetime.now(UTC) - timedelta(seconds=_FILE_SECONDS))

    return (
        Duty("recover tasks", RECOVERY_SECONDS, queue.keys.lease("recovery"), queue.recover),
        Duty("expire confirmations", EXPIRY_SECONDS, EXPIRY_LEASE, with_store(sync.expire_due)),
        Duty("take up what was left", TAKE_UP_SECONDS, queue.keys.lease("taking-up"), with_store(take_up)),
    )


@asynccontextmanager
async def _recovering(telemetry: Telemetry, *recoveries: Recovery) -> AsyncIterator[None]:
    """Finish the sagas of processes that died, as long as the block lasts."""
    stop = asyncio.Event()
    running = [asyncio.create_task(_recover(recover, stop, telemetry)) for recover in recoveries]
    try:
        yield
    finally:
        stop.set()
        await end(*running)


async def _recover(recover: Recovery, stop: asyncio.Event, telemetry: Telemetry) -> None:
    while not stop.is_set():
        try:
            await recover(stop)
        except Exception as error:
            # Nobody awaits this task, and the worker lives on.
            telemetry.log.error("worker.recovery_failed", exc_info=error)  # noqa: TRY400 -- not a logger of stdlib
            await asyncio.sleep(RECOVERY_SECONDS)


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
        await end(*running)


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
