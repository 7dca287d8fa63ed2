"""Observes Celery 5: tasks from their publication to their end, the broker's queues, workers, and beat.

In the program that publishes, in the worker and in beat alike::

    telemetry = Telemetry("shop-jobs", prefork=True)
    instrument(app, telemetry)

The worker's pool forks, so `prefork=True` lets its children count together; serve from the worker's main process, on
Celery's signal `worker_init`. What is published carries the trace and the log context, and the time at which it is
due, in the header `botmetry`.

`celery_tasks_total` counts by state: `published`; what a run came to (see `Telemetry.celery.task`); and what never came
to a run's end: `revoked`, also by an expiry, `timed_out` by the hard limit, and `lost` with a child that was killed. A
task that is acknowledged late and goes back to its queue with such a child is not lost.

With a Redis broker, whoever is scraped shows queue lengths, unacknowledged tasks, workers and beat (`celery_broker`).
Celery does not say which app publishes: a process with two apps, both instrumented, counts publications for both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakValueDictionary

from botmetry.errors import BotmetryError, MissingExtraError
from botmetry.integrations.celery_broker import BEAT, HEARTBEAT_SECONDS, WORKERS, Broker, is_redis

if TYPE_CHECKING:
    from celery import Celery

    from botmetry.instrument import Operation
    from botmetry.telemetry import Telemetry

__all__ = ["Undo", "instrument"]

Undo: TypeAlias = Callable[[], None]

HEADER: Final = "botmetry"
_OBSERVER: Final = "_botmetry_observer"
_LOST: Final = {"WorkerLostError": "lost", "TimeLimitExceeded": "timed_out"}
_BEAT_ITSELF: Final = "beat"


def instrument(app: Celery, telemetry: Telemetry) -> Undo:
    """Observe an app's tasks, in whichever process this is; return how to take that back.

    Doing it twice is doing it once.

    Raises:
        MissingExtraError: celery is not installed.
        TypeError: `app` is no Celery app.
        BotmetryError: Another telemetry object observes it.
    """
    try:
        import celery  # noqa: PLC0415 -- paid for by those who use it
        from celery import signals  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("celery", "celery") from error
    if not isinstance(app, celery.Celery):
        raise TypeError(f"an app of Celery can be instrumented, not {type(app).__name__}")
    there: _Observer | None = getattr(app, _OBSERVER, None)
    if there is None:
        there = _Observer(app, telemetry)
        setattr(app, _OBSERVER, there)
        there.connect(signals)
    elif there.telemetry is not telemetry:
        raise BotmetryError(
            "this app is observed by another Telemetry; call the undo that its `instrument` returned"
        )
    return there.undo


class _Run:
    """A task under way in this process: its operation, within the context that its publisher sent along."""

    def __init__(self, around: AbstractContextManager[object], operation: Operation) -> None:
        self.around = around
        self.operation = operation


class _Observer:
    """Hears Celery's signals for one app."""

    def __init__(self, app: Any, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self._app = app
        self._runs: dict[str, _Run] = {}
        # Whom the main process of a worker asks for the queue of a task that died; Celery holds them while they live.
        self._requests: WeakValueDictionary[str, Any] = WeakValueDictionary()
        self._broker = Broker(app) if is_redis(app) else None
        self._undo: list[Undo] = []

    def connect(self, signals: Any) -> None:
        """Begin to listen."""
        heard: dict[str, Callable[..., None]] = {
            "before_task_publish": self._published,
            "task_received": self._received,
            "task_prerun": self._begun,
            "task_postrun": self._ended,
            "task_failure": self._failed,
            "task_revoked": self._revoked,
            "worker_ready": self._worker_ready,
            "worker_shutdown": self._worker_stopped,
            "worker_process_shutdown": self._child_ends,
            "beat_init": self._beat_begins,
        }
        for name, hear in heard.items():
            self._listen(getattr(signals, name), hear)
        if self._broker is not None:
            self._undo.append(self.telemetry.celery.watch(self._ask))

    def undo(self) -> None:
        """Listen no more."""
        while self._undo:
            self._undo.pop()()
        if getattr(self._app, _OBSERVER, None) is self:
            delattr(self._app, _OBSERVER)

    def _listen(self, signal: Any, hear: Callable[..., None]) -> None:
        def receive(sender: Any = None, **told: Any) -> None:
            try:
                hear(sender, **told)
            except Exception as error:  # noqa: BLE001 -- the task goes on whatever the telemetry does
                self.telemetry.internal_error("integrations.celery", error)

        signal.connect(receive, weak=False)
        self._undo.append(lambda: signal.disconnect(receive))

    # Where tasks are published -------------------------------------------------------------------------------

    def _published(
        self,
        sender: Any,
        headers: dict[str, Any] | None = None,
        declare: list[Any] | None = None,
        routing_key: str | None = None,
        **_: Any,
    ) -> None:
        queue = str(declare[0].name if declare else routing_key or "")
        if headers is not None:  # protocol 1 has none
            headers[HEADER] = {
                "queue": queue,
                "due_at": max(time.time(), _unix(headers.get("eta"))),
                "carrier": self.telemetry.carrier(),
            }
        self.telemetry.celery.counted(str(sender), queue, "published")

    # Where they are run --------------------------------------------------------------------------------------

    def _begun(self, sender: Any, task_id: str = "", **_: Any) -> None:
        if sender.app is not self._app:
            return
        request = sender.request
        told = _told(request)
        queue = _queue_of(request)
        due_at = told.get("due_at")
        if isinstance(due_at, int | float):
            self.telemetry.celery.waited(queue, time.time() - due_at)
        carrier = told.get("carrier")
        with ExitStack() as stack:
            stack.enter_context(self.telemetry.continue_from(carrier if isinstance(carrier, Mapping) else {}))
            stack.enter_context(self.telemetry.context(task_id=task_id))
            run = self.telemetry.celery.task(sender.name, queue)
            operation = run.__enter__()
            stack.push(run.__exit__)
            self._runs[task_id] = _Run(stack.pop_all(), operation)

    def _ended(
        self, _sender: Any, task_id: str = "", retval: Any = None, state: str | None = None, **_: Any
    ) -> None:
        run = self._runs.pop(task_id, None)
        if run is None or state is None:
            # Without a state it was left by SystemExit: the pool ends this child for a time limit or a revocation, or
            # the task ends it. The main process tells each of these; what has no end must not be counted as ended.
            return
        error = retval if state != "SUCCESS" and isinstance(retval, BaseException) else None
        if error is not None:
            cause = getattr(error, "exc", None)
            run.operation.set(state=str(state).lower(), **({"cause": type(cause).__name__} if cause else {}))
        run.around.__exit__(None if error is None else type(error), error, None)

    # In the worker's main process ----------------------------------------------------------------------------

    def _received(self, sender: Any, request: Any = None, **_: Any) -> None:
        if sender.app is self._app:
            self._requests[str(request.id)] = request

    def _failed(
        self, sender: Any, task_id: str = "", exception: BaseException | None = None, **_: Any
    ) -> None:
        """Count a task whose process died; what a run raises is told by its end."""
        state = _LOST.get(type(exception).__name__)
        if state is None or task_id in self._runs or sender.app is not self._app:
            return
        queue = _queue_of(self._requests.get(task_id))
        self.telemetry.celery.counted(sender.name, queue, state)
        with self.telemetry.context(task_id=task_id):
            self.telemetry.log.error(
                "celery.task_lost", task_type=sender.name, queue=queue, state=state, reason=str(exception)
            )

    def _revoked(self, sender: Any, request: Any = None, expired: Any = False, **_: Any) -> None:  # noqa: FBT002
        if sender.app is not self._app:
            return
        queue = _queue_of(request)
        self.telemetry.celery.counted(sender.name, queue, "revoked")
        with self.telemetry.context(task_id=str(request.id)):
            self.telemetry.log.info(
                "celery.task_revoked", task_type=sender.name, queue=queue, expired=bool(expired)
            )

    def _worker_ready(self, sender: Any, **_: Any) -> None:
        if self._broker is None or sender.app is not self._app:
            return

        def beat() -> None:
            self._note(WORKERS, str(sender.hostname))

        beat()
        # Sent again after each reconnection, for which Celery has cleared its timer.
        sender.timer.call_repeatedly(HEARTBEAT_SECONDS, beat)

    def _worker_stopped(self, sender: Any, **_: Any) -> None:
        if self._broker is not None and sender.app is self._app:
            self._broker.forget(WORKERS, str(sender.hostname))

    def _child_ends(self, _: Any, **__: Any) -> None:
        self.telemetry.close()  # a child of the pool ends without `atexit`

    # In beat -------------------------------------------------------------------------------------------------

    def _beat_begins(self, sender: Any, **_: Any) -> None:
        """Note what the scheduler sends, and that it looks; Celery has no signal for either."""
        if self._broker is None or sender.app is not self._app:
            return
        scheduler = sender.scheduler
        tick, apply_async = scheduler.tick, scheduler.apply_async
        looked = 0.0

        @wraps(tick)
        def ticking(*args: Any, **options: Any) -> Any:
            nonlocal looked
            if time.monotonic() - looked >= HEARTBEAT_SECONDS:  # it looks once for each task that is due
                looked = time.monotonic()
                self._note(BEAT, _BEAT_ITSELF)
            return tick(*args, **options)

        @wraps(apply_async)
        def applying(entry: Any, *args: Any, **options: Any) -> Any:
            result = apply_async(entry, *args, **options)
            self._note(BEAT, str(entry.name))
            return result

        scheduler.tick, scheduler.apply_async = ticking, applying
        self._note(BEAT, _BEAT_ITSELF)

        def undo() -> None:
            vars(scheduler).pop("tick", None)
            vars(scheduler).pop("apply_async", None)

        self._undo.append(undo)

    # The broker ----------------------------------------------------------------------------------------------

    def _note(self, place: str, name: str) -> None:
        if self._broker is None:
            return
        try:
            self._broker.note(place, name)
        except Exception as error:  # noqa: BLE001 -- beat and the worker go on whatever the telemetry does
            self.telemetry.internal_error("integrations.celery", error)

    async def _ask(self) -> Any:
        assert self._broker is not None
        return await asyncio.to_thread(self._broker.state)


def _told(request: Any) -> Mapping[str, Any]:
    """Return what the publisher put into our header."""
    told = getattr(request, HEADER, None)
    return told if isinstance(told, Mapping) else {}


def _queue_of(request: Any) -> str:
    """Return the queue that a task came from: as its publisher called it, or else its routing key."""
    if request is None:
        return ""
    headers = getattr(request, "request_dict", None)  # of a worker's Request; a task's Context has attributes
    told = headers.get(HEADER) if isinstance(headers, Mapping) else _told(request)
    queue = told.get("queue") if isinstance(told, Mapping) else None
    return str(queue or (getattr(request, "delivery_info", None) or {}).get("routing_key") or "")


def _unix(eta: Any) -> float:
    """Return a task's ETA, as ISO 8601 has it, as Unix time; 0 without one."""
    if not isinstance(eta, str):
        return 0.0
    try:
        at = datetime.fromisoformat(eta)
    except ValueError:
        return 0.0
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
