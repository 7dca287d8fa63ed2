"""Runs sagas: work in steps, each of them undone when a later one fails, whichever processes die meanwhile.

::

    steps = [
        SagaStep("reserve", reserve, release),
        SagaStep("charge", charge, refund, timeout=10.0, retries=5),
        SagaStep("ship", ship, kind=StepKind.PIVOT),
        SagaStep("thank", thank),
    ]
    async with SagaOrchestrator(steps, SagaConfig(redis_url=url, name="order")) as orders:
        result = await orders.execute({"order": 7}, saga_id="order-7")

What is promised. Before a step runs, that it will is written; after it, how it ended, together with what comes next. A
process that dies in between leaves an *unknown* outcome, and whoever takes the saga over runs the step again under the
same idempotency key, or undoes it. So a step has its effect at least once, and once if it heeds
``current_step().idempotency_key``. A saga has one owner at a time: each checkpoint names the owner's epoch and the
saga's revision, and one of an owner whose lease was taken over is refused. Only effects that were already under way can
then overlap, under one key. Every saga ends COMPLETED, undone (FAILED or ABORTED), or stands still where a person is
told of it.

What an error means. ``Terminal`` (and the classes in ``SagaStep.terminal``): no effect, no retry. A timeout and a
``ConnectionError``: unknown. Any other exception: the action says that it failed and had no effect; it is tried again,
and in the end given up without being undone. A plain function runs in a daemon thread of its own, which nobody can
stop: past its timeout it may still have its effect, and it holds up neither other steps nor the end of the process.

What a deployment needs. A saga is only run by steps of the version, and the names and kinds, it was begun with. Who
changes them raises ``SagaConfig.version`` and gives the former ones as ``older={1: [...]}`` until their sagas are over;
else these wait, and the log says so (``saga.release_unregistered``). Who changes the type of the context does the same
with ``older={1: Release([...], FormerType)}``: a saga whose context is not of the type given for it is suspended before
anything is done, and goes on when a program that has the right one runs and somebody resumes it.

What Redis can lose. A checkpoint that was answered is as durable as Redis was told to be: with ``appendfsync everysec``
a crash of the machine loses up to a second, with ``always`` nothing; a failover loses what the replica had not got. A
saga that is set back by it runs steps again, under the same idempotency keys; one whose beginning is lost never was,
and its caller has to begin it again under the same id. ``SagaConfig.durability`` has a pivot wait until
replicas know that it may happen. A server that may evict any key when memory is short is refused.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, Final

from midas.errors import QueueUnavailable
from midas.saga.errors import UnreadableContext
from midas.saga.keys import check_id
from midas.saga.news import wait_at_most
from midas.saga.records import SagaRecord, SagaResult
from midas.saga.recovery import SagaRecovery
from midas.saga.states import SagaState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from midas.saga.context import ContextCodec

_LOOK_SECONDS: Final = 1.0
"""How often a saga that another process runs is looked at though nothing was heard of it."""


class SagaOrchestrator(SagaRecovery):
    """Begins sagas of one kind and runs them; ``SagaRuns`` says what it is made with.

    Use it as an async context manager, or call ``aclose()`` at the end. Any number of processes may have one, and any
    number of sagas run in each at once.
    """

    async def execute(
        self, context: Mapping[str, Any] | Any = None, *, saga_id: str | None = None
    ) -> SagaResult:
        """Run a saga and say how it ended. A saga that fails is a result and no exception.

        A caller that is cancelled stops waiting; the saga goes on. Use ``abort`` to have it undone.

        Args:
            context: What the steps are given: a mapping, or an object of ``context_type``.
            saga_id: 1 to 128 letters, digits and any of ``_.:-``; a random one where it is None. A saga whose id is
                known is not begun again: this waits for its end, and takes it over if its owner dies.

        Raises:
            InvalidContext: The context cannot be kept; nothing was begun.
            UnreadableContext: A saga of this id was begun by a program with another type of context; see ``result``.
            OrchestratorClosed: It was closed before the saga had ended; others go on with it.
            UnsafeServer: Redis would lose sagas; nothing was begun.
            QueueUnavailable: Redis did not answer within two seconds. The saga may have been begun nevertheless, so
                repeat with the same ``saga_id``.
        """
        saga_id = secrets.token_hex(12) if saga_id is None else check_id(saga_id)
        await self._to_its_end(self._begin(saga_id, context, owned=True))
        return await self.result(saga_id)

    async def start(self, context: Mapping[str, Any] | Any = None, *, saga_id: str | None = None) -> str:
        """Begin a saga for any process that recovers, without waiting for it, and give its id.

        Args:
            context: As for ``execute``.
            saga_id: As for ``execute``.

        Raises:
            InvalidContext: The context cannot be kept; nothing was begun.
            OrchestratorClosed: It was closed; nothing was begun.
            UnsafeServer: Redis would lose sagas; nothing was begun.
            QueueUnavailable: Redis did not answer within two seconds; repeat with the same ``saga_id``.
        """
        saga_id = secrets.token_hex(12) if saga_id is None else check_id(saga_id)
        await self._begin(saga_id, context, owned=False)
        return saga_id

    async def result(self, saga_id: str) -> SagaResult:
        """Wait until a saga has ended or stands still, running it here whenever it needs an owner.

        Raises:
            SagaUnknown: There is none.
            UnreadableContext: It has ended or stands still with a context of another type than this program has for it.
            OrchestratorClosed: It was closed before; the saga goes on elsewhere.
            UnsafeServer: Redis would lose sagas.
        """
        await self.open()
        woken = self._news.watch(saga_id)
        try:
            while True:
                woken.clear()
                await self.open()  # it may have been closed meanwhile
                try:
                    record = await self._run_of(saga_id) or await self._read(saga_id)
                    if record.state.is_over or record.state.needs_a_person:
                        return self._result(record)
                    await self._wait_for(record, woken)
                except QueueUnavailable:
                    await self._availability.pause(at_most=1.0)
        finally:
            self._news.forget(saga_id, woken)

    async def abort(self, saga_id: str, reason: str = "", *, force: bool = False) -> None:
        """Have a saga undone; see ``SagaOversight.abort``. One that runs here is told at once."""
        await super().abort(saga_id, reason, force=force)
        self._heed_abort(saga_id)

    async def _begin(self, saga_id: str, context: Any, *, owned: bool) -> None:
        packed = self._codec(self._definition.release).pack(context)
        await self.open()
        owner = f"{self._who}/{secrets.token_hex(6)}" if owned else ""
        # The steps' spans hang on this one, whichever process they run in, and are one trace.
        span = self._telemetry.tracer.start(
            f"saga.begin {self.config.name}", "internal", {"saga_id": saga_id}
        )
        try:
            call = self._calls.begin(saga_id, self._definition, owner, packed, self._telemetry.carrier())
            begun, now, flat = await self._store.ask(call)
        except BaseException as error:
            span.end("error", error, {})
            raise
        span.end("ok", None, {})
        self._store.heard(now)
        if not begun or not owned:
            return
        with self._telemetry.context(saga_id=saga_id):
            self._telemetry.saga.started(self.config.name)
        self._spawn(SagaRecord.parse(saga_id, flat))

    async def _run_of(self, saga_id: str) -> SagaRecord | None:
        """Wait for the run of a saga that runs here; give it where that brought it to an end."""
        run = self._runs.get(saga_id)
        if run is None:
            return None
        await asyncio.wait({run})
        record = None if run.cancelled() or run.exception() is not None else run.result()
        return (
            record if record is not None and (record.state.is_over or record.state.needs_a_person) else None
        )

    async def _wait_for(self, record: SagaRecord, woken: asyncio.Event) -> None:
        """Take the saga over if it is due and ours to run; else wait until it may be, or something happens to it."""
        left = _LOOK_SECONDS if record.due is None else (record.due - self._store.now_ms()) / 1000
        if left <= 0:
            known = record.release in self._machinery.definitions
            if known and await self._claim(record.id, record.release) is not None:
                return
            left = _LOOK_SECONDS
        await wait_at_most(min(left, self._machinery.randomness.uniform(0.5, 1.0) * _LOOK_SECONDS), woken)

    def _codec(self, release: str) -> ContextCodec:
        codecs = self._machinery.codecs
        return (
            codecs.get(release) or codecs[self._definition.release]
        )  # steps are not needed to tell of an end

    def _readable(self, record: SagaRecord) -> Any:
        try:
            return self._codec(record.release).unpack(record.context)
        except UnreadableContext as error:
            raise UnreadableContext(f"saga {record.id} is {record.state}, and {error}") from error

    def _result(self, record: SagaRecord) -> SagaResult:
        return SagaResult(
            saga_id=record.id,
            state=record.state,
            context=self._readable(record),
            steps={name: record.step(name).state for name in record.order},
            error=None if record.state is SagaState.COMPLETED else record.error or None,
        )
