"""Importing a statement as a saga: whichever process dies, the file is imported wholly, or not at all.

::

    store_file   keep the file in PostgreSQL                undone by throwing it away, and having the user told
    parse        read it                                    nothing to undo
    insert       store what is new, and note what that was  undone by taking it back, except what the user decided on
    enqueue      put it in line for the AI                  the pivot: tasks cannot be called back
    notify       have the user told, throw the file away    tried until it succeeds

A broken file never gets here: it is read before its saga begins, so that its user hears of it at once.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Self

import msgspec

from midas.errors import ConfirmationError, ImportFailed, StatementError
from midas.queue import TaskPriority, TaskQueue
from midas.redis import end
from midas.saga import (
    SagaConfig,
    SagaOrchestrator,
    SagaResult,
    SagaState,
    SagaStep,
    StepKind,
    StepState,
    Terminal,
    current_step,
)
from midas.store.imports import KnownBalance
from midas.sync.intake import Intake, ReadStatement, read
from midas.sync.notices import TELL_IMPORTED, ImportNotice, notices_config

if TYPE_CHECKING:
    from types import TracebackType

    from botmetry import Telemetry
    from midas.confirmations import ConfirmationService
    from midas.queue import AITaskQueue
    from midas.store import Store

IMPORTS: Final = "statement-import"
"""Name of the saga."""

_PATIENT: Final = 20
"""Retries with pauses up to half a minute: some minutes, which a restart of PostgreSQL takes at the most."""
_SECONDS: Final = 120.0
"""A step waits for locks, and a file of 50,000 lines takes its time."""
_FILE_LOST: Final = "the process that had the file died before it was stored"
_AFTERWARDS_SECONDS: Final = 5.0
"""How long the caller waits, once everything is stored, for what comes after that: Redis may just have gone away."""


class ImportContext(msgspec.Struct, kw_only=True):
    """What the steps know.

    Attributes:
        user_id: Whose transactions they are.
        name: The file's name.
        chat_id: Whom to tell, None for nobody.
        source: ``csv`` or ``ofx``.
        found: Bookings in the file.
        new: Of these, transactions that were not stored before.
        queued: Of these, those that were put in line for the AI.
    """

    user_id: int
    name: str
    chat_id: int | None = None
    source: str = ""
    found: int = 0
    new: int = 0
    queued: int = 0


@dataclass(slots=True)
class _HandedIn:
    """A file whose saga this process has begun."""

    data: bytes
    read: ReadStatement
    outcome: ImportContext
    booked: asyncio.Event = field(default_factory=asyncio.Event)


class StatementImports:
    """Runs imports, those of this process and those of processes that died. Use it as an async context manager.

    Args:
        store: Where files and transactions are.
        queue: Takes the AI's work to the workers.
        confirmations: Asks users about categories; what is taken back need not be asked any more.
        redis_url: Where sagas and notices are.
        telemetry: Where everything is counted.

    Raises:
        ValueError: The address is none.
    """

    def __init__(
        self,
        store: Store,
        queue: AITaskQueue,
        confirmations: ConfirmationService,
        redis_url: str,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._confirmations = confirmations
        self._intake = Intake(store, queue, telemetry)
        self._notices = TaskQueue(
            notices_config(redis_url), telemetry, max_connections=4, availability=queue.availability
        )
        config = SagaConfig(
            redis_url=redis_url,
            name=IMPORTS,
            context_type=ImportContext,
            compensation_retries=_PATIENT,
            concurrency=10,
            retention=86_400.0,
        )
        self._sagas = SagaOrchestrator(
            self._steps(), config, telemetry=telemetry, availability=queue.availability
        )
        self._handed_in: dict[str, _HandedIn] = {}
        self._running: set[asyncio.Task[SagaResult]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave what is not finished to other processes."""
        await end(*self._running)
        await self._sagas.aclose()
        await self._notices.aclose()

    async def run_recovery(self, stop: asyncio.Event) -> None:
        """Finish the imports of processes that died, until told to stop."""
        await self._sagas.run_recovery(stop)

    async def run(
        self, user_id: int, name: str, data: bytes, read: ReadStatement, chat_id: int | None = None
    ) -> ImportContext:
        """Import a file that was read, and say what became of it.

        It comes back as well when everything is stored and what follows takes long because Redis went away; the saga
        goes on then.

        Args:
            user_id: Whose transactions they are.
            name: The file's name.
            data: The file.
            read: What it says.
            chat_id: Whom to tell, None for nobody.

        Raises:
            QueueUnavailable: Redis does not answer; nothing was begun.
            StoreUnavailable: PostgreSQL does not answer; nothing was begun.
            ImportFailed: It was undone, and no notice tells of it; or somebody has to look after it.
        """
        await self._store.users.ensure_known(user_id)
        saga_id = f"import-{user_id}-{secrets.token_hex(8)}"
        context = ImportContext(user_id=user_id, name=name, chat_id=chat_id)
        handed_in = self._handed_in[saga_id] = _HandedIn(data, read, context)
        running = asyncio.create_task(self._sagas.execute(context, saga_id=saga_id), name=saga_id)
        self._running.add(running)
        running.add_done_callback(lambda done: self._ended(saga_id, done))
        await _first(running, handed_in.booked)
        await asyncio.wait({running}, timeout=_AFTERWARDS_SECONDS)
        return _outcome(running.result()) if running.done() else handed_in.outcome

    def _ended(self, saga_id: str, running: asyncio.Task[SagaResult]) -> None:
        self._running.discard(running)
        self._handed_in.pop(saga_id, None)
        if not running.cancelled():
            running.exception()  # told to the caller, if there still is one

    # The steps ---------------------------------------------------------------------------------------------

    def _steps(self) -> list[SagaStep]:
        step = partial(SagaStep, timeout=_SECONDS, retries=_PATIENT, terminal=(StatementError,))
        return [
            step("store_file", self._store_file, self._throw_away),
            step("parse", self._parse, None),
            step("insert", self._insert, self._take_back),
            step("enqueue", self._enqueue, None, kind=StepKind.PIVOT),
            step("notify", self._notify, None),
        ]

    async def _store_file(self, context: ImportContext) -> None:
        import_id = current_step().saga_id
        handed_in = self._handed_in.get(import_id)
        if handed_in is not None:
            await self._store.imports.keep(import_id, context.user_id, context.name, handed_in.data)
        elif await self._store.imports.file(import_id) is None:
            # Nothing was done, so nothing will be undone, which is where the user is told else.
            await self._tell(context, [], done=False)
            raise Terminal(_FILE_LOST)

    async def _throw_away(self, context: ImportContext) -> None:
        await self._tell(context, [], done=False)
        await self._store.imports.remove(current_step().saga_id)

    async def _parse(self, context: ImportContext) -> None:
        statement = await self._statement(context)
        context.source, context.found = statement.statement.source, len(statement.found)

    async def _insert(self, context: ImportContext) -> None:
        import_id = current_step().saga_id
        statement = await self._statement(context)
        balances = [KnownBalance(b.account, b.money, b.taken_at) for b in statement.statement.balances]
        fresh = await self._store.imports.book(import_id, context.source, statement.found, balances)
        new = await self._store.imports.transactions(import_id)
        context.new = len(new)
        if fresh:
            self._intake.count(context.source, new)
        self._tell_caller(import_id, context, booked=True)

    async def _take_back(self, context: ImportContext) -> None:
        gone = set(await self._store.imports.undo(current_step().saga_id))
        context.new = 0
        if not gone:
            return
        for question in await self._confirmations.pending(context.user_id):
            if question.transaction_id in gone:
                with suppress(ConfirmationError):  # it was answered in this moment
                    await self._confirmations.reject(question.id, context.user_id)

    async def _enqueue(self, context: ImportContext) -> None:
        import_id = current_step().saga_id
        new = await self._store.imports.transactions(import_id)
        context.queued, failure = await self._intake.enqueue(new)
        self._tell_caller(import_id, context)
        if failure is not None:
            raise failure

    async def _notify(self, context: ImportContext) -> None:
        import_id = current_step().saga_id
        new = await self._store.imports.transactions(import_id)
        await self._tell(context, [transaction.id for transaction in new], done=True)
        await self._store.imports.remove(import_id)

    async def _tell(self, context: ImportContext, transaction_ids: list[int], *, done: bool) -> None:
        if context.chat_id is None:
            return
        notice = ImportNotice(
            user_id=context.user_id,
            chat_id=context.chat_id,
            name=context.name,
            source=context.source,
            found=context.found,
            new=context.new,
            queued=context.queued,
            transaction_ids=transaction_ids,
            done=done,
        )
        task_id = f"{current_step().saga_id}-{'done' if done else 'undone'}"
        await self._notices.add_task(
            TELL_IMPORTED, msgspec.to_builtins(notice), TaskPriority.HIGH, task_id=task_id
        )

    async def _statement(self, context: ImportContext) -> ReadStatement:
        import_id = current_step().saga_id
        handed_in = self._handed_in.get(import_id)
        if handed_in is not None:
            return handed_in.read
        file = await self._store.imports.file(import_id)
        if file is None:
            raise Terminal("its file is gone")
        return await read(context.user_id, file.name, file.content)

    def _tell_caller(self, import_id: str, context: ImportContext, *, booked: bool = False) -> None:
        handed_in = self._handed_in.get(import_id)
        if handed_in is not None:
            handed_in.outcome = msgspec.structs.replace(context)
            if booked:
                handed_in.booked.set()


async def _first(running: asyncio.Task[SagaResult], booked: asyncio.Event) -> None:
    waiting = asyncio.create_task(booked.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _outcome(result: SagaResult) -> ImportContext:
    context: ImportContext = result.context
    if result.state is SagaState.COMPLETED:
        return context
    if not result.state.is_over:
        raise ImportFailed(context.name, f"{result.error}; somebody has to look after {result.saga_id}")
    told = result.steps["store_file"] is StepState.COMPENSATED or _FILE_LOST in (result.error or "")
    if context.chat_id is not None and told:
        return context  # by a notice
    raise ImportFailed(context.name, f"{result.error}; what was stored of it was taken back")
