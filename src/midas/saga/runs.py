"""The sagas that this process owns: claimed, kept, told when somebody wants something of them, and left at the end."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import ResponseError

from botmetry.threads import run_in_thread
from midas.redis import check_server, connect_from_thread
from midas.saga.calls import Change, Held
from midas.saga.config import SagaConfig
from midas.saga.context import ContextCodec
from midas.saga.definition import Definition, Release
from midas.saga.errors import OrchestratorClosed, SagaDefinitionError, UnreadableSaga
from midas.saga.keeper import SagaKeeper
from midas.saga.machinery import Machinery
from midas.saga.news import News
from midas.saga.oversight import SagaOversight
from midas.saga.ownership import Ownership
from midas.saga.records import SagaRecord
from midas.saga.store import ANSWER_SECONDS

if TYPE_CHECKING:
    from botmetry import Telemetry
    from midas.redis import Availability
    from midas.saga.calls import Clock
    from midas.saga.definition import Unit
    from midas.saga.store import Sending

T = TypeVar("T")


class SagaRuns(SagaOversight):
    """Claims sagas and runs them; ``open`` starts what that needs.

    Args:
        steps: The steps, in order.
        config: The settings.
        older: Steps of earlier versions, by version, whose sagas this process shall run to their end; as a ``Release``
            where contexts had another type then, else they are held to ``config.context_type``.
        telemetry: Where sagas are counted, logged and traced; None for nowhere.
        availability: Another client's of the same Redis, so that an outage is reported once; None for an own one.
        clock: For tests: the time in seconds since 1970. None takes the Redis server's.
        sender: For tests: what sends the calls of scripts instead of a client of our own.

    Raises:
        SagaDefinitionError: The steps cannot be a saga, or two sorts of them are given for one version.
    """

    def __init__(
        self,
        steps: Sequence[Unit],
        config: SagaConfig | None = None,
        *,
        older: Mapping[int, Sequence[Unit] | Release] | None = None,
        telemetry: Telemetry | None = None,
        availability: Availability | None = None,
        clock: Clock | None = None,
        sender: Sending | None = None,
    ) -> None:
        config = config or SagaConfig()
        self._definition = Definition(steps, config.version)
        definitions, codecs = _by_release(self._definition, older or {}, config)
        super().__init__(config, telemetry=telemetry, availability=availability, clock=clock, sender=sender)
        self._machinery = Machinery(self.config, definitions, codecs, self._telemetry)
        self._who = f"{socket.gethostname()}-{os.getpid()}"
        self._owned: dict[Held, Ownership] = {}
        self._runs: dict[str, asyncio.Task[SagaRecord]] = {}
        self._keeper: SagaKeeper | None = None
        self._news = News(self._client, self._calls.keys.channel, self._availability, self._heed_abort)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Task[None] | None = None
        self._strangers: dict[str, int] = {}
        self._unreadable: dict[str, float] = {}
        """Sagas whose records this program cannot read, and when to look at them again, by ``time.monotonic()``."""
        self._closed = False
        self._taken: set[asyncio.Task[SagaRecord]] = set()
        """Those runs that somebody else began, or left: they have their own limit."""
        self._tasks: set[asyncio.Task[Any]] = set()
        """Runs, and what is about to become one: ``aclose`` waits for them."""

    async def open(self) -> None:
        """Look at the server, and start what renews leases; ``execute`` and ``recover`` do it by themselves.

        Raises:
            OrchestratorClosed: It was closed.
            UnsafeServer: It would lose sagas; nothing was sent that it could lose.
            QueueUnavailable: Redis did not answer within two seconds.
        """
        if self._closed:
            raise OrchestratorClosed(self.config.name)
        if self._keeper is not None:
            return
        if self._opening is None or self._opening.done():
            self._opening = self._keep(asyncio.create_task(self._open()))
        await asyncio.shield(self._opening)

    async def aclose(self) -> None:
        """Leave what runs to others, at once, and close the connections.

        A step is told to stop and has its grace; a compensation that has begun ends in its own time.
        """
        self._closed = True
        self._news.wake()
        for ownership in self._owned.values():
            ownership.leave()
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._keeper is not None:
            await run_in_thread(self._keeper.close)  # a pool's threads may all hang
            self._keeper = None
        await self._news.aclose()
        await super().aclose()

    async def _open(self) -> None:
        await check_server(
            self._client,
            self._availability,
            "sagas",
            needs_waitaof=self.config.durability.local_disk,
            within=ANSWER_SECONDS,
        )
        try:
            await self._store.ask(self._calls.introduce())
        except ResponseError as error:  # on a cluster the list of names may be another server's
            self._telemetry.log.debug("saga.name_not_listed", saga=self.config.name, message=str(error))
        if self._closed:  # meanwhile
            raise OrchestratorClosed(self.config.name)
        self._loop = asyncio.get_running_loop()
        client = connect_from_thread(self.config.redis_url)
        self._keeper = SagaKeeper(
            client, self._calls, self._availability, self.config.lease_seconds, self._hear_from_keeper
        )
        self._keeper.start()
        self._news.start()

    async def _claim(self, saga_id: str, release: str) -> asyncio.Task[SagaRecord] | None:
        """Become a saga's owner and run it; None where it needs none, or somebody else was faster."""
        if self._closed:
            raise OrchestratorClosed(self.config.name)
        return await self._to_its_end(self._claim_now(saga_id, release))

    async def _to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Do what makes this process an owner, even if the caller is cancelled: nobody else would know."""
        return await asyncio.shield(self._keep(asyncio.create_task(work)))

    def _keep(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _claim_now(self, saga_id: str, release: str) -> asyncio.Task[SagaRecord] | None:
        owner = f"{self._who}/{secrets.token_hex(6)}"
        verdict, now, *found = await self._store.ask(self._calls.claim(saga_id, release, owner))
        self._store.heard(now)
        if verdict == b"parked":
            self._telemetry.log.error("saga.suspended", saga=self.config.name, saga_id=saga_id)
        if verdict != b"owned":
            return None
        late, died, flat = found
        try:
            record = SagaRecord.parse(saga_id, flat)
        except UnreadableSaga as error:
            self._telemetry.log.error(  # noqa: TRY400 -- the reason says it all
                "saga.unreadable", saga=self.config.name, saga_id=saga_id, release=release, message=str(error)
            )
            self._unreadable[saga_id] = time.monotonic() + self.config.lease_seconds
            await self._give_back(Held(saga_id, release, 0, owner), flat, due=now - late)
            return None
        with self._telemetry.continue_from(record.carrier), self._telemetry.context(saga_id=saga_id):
            first = record.epoch == 1  # begun by a process that left the running to others
            (self._telemetry.saga.started if first else self._telemetry.saga.resumed)(self.config.name)
            if died:
                self._telemetry.log.warning(
                    "saga.recovered", saga=self.config.name, epoch=record.epoch, late_seconds=late / 1000
                )
        run = self._spawn(record)
        self._taken.add(run)
        run.add_done_callback(self._make_room)
        return run

    async def _give_back(self, held: Held, flat: Sequence[bytes], due: int) -> None:
        """Let a program that can read it have a saga that was claimed in vain, under the due time it had before.

        So its waiting for an owner still shows. Else its lease would lapse, and count as the death of an owner.
        """
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        try:
            epoch, revision = int(fields[b"epoch"]), int(fields[b"revision"])
        except (KeyError, ValueError):
            return
        change = Change(leave_until=due)
        held = replace(held, epoch=epoch)
        await self._store.ask(self._calls.checkpoint(held, revision, secrets.token_hex(8), change, {}))

    def _spawn(self, record: SagaRecord) -> asyncio.Task[SagaRecord]:
        ownership = Ownership(self._store, record)
        if self._closed:  # since it was asked for
            ownership.leave()
        self._owned[ownership.held] = ownership
        if self._keeper is not None:
            self._keeper.hold(ownership.held)
        run = self._keep(asyncio.create_task(self._machinery.run(ownership), name=f"saga {record.id}"))
        self._runs[record.id] = run
        run.add_done_callback(lambda done: self._ended(ownership, done))
        return run

    def _ended(self, ownership: Ownership, run: asyncio.Task[SagaRecord]) -> None:
        if not run.cancelled():
            run.exception()  # it was logged where it happened
        if self._keeper is not None:
            self._keeper.drop(ownership.held)
        self._owned.pop(ownership.held, None)
        if self._runs.get(ownership.record.id) is run:
            del self._runs[ownership.record.id]

    def _make_room(self, run: asyncio.Task[SagaRecord]) -> None:
        if len(self._taken) == self.config.concurrency:
            self._news.due.set()  # somebody may wait for a place
        self._taken.discard(run)

    def _hear_from_keeper(self, held: Held, heed: Callable[[Ownership], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, held, heed)

    def _tell(self, held: Held, heed: Callable[[Ownership], None]) -> None:
        if (ownership := self._owned.get(held)) is not None:
            heed(ownership)

    def _heed_abort(self, saga_id: str) -> None:
        for ownership in self._owned.values():
            if ownership.record.id == saga_id:
                ownership.abort()


def _by_release(
    current: Definition, older: Mapping[int, Sequence[Unit] | Release], config: SagaConfig
) -> tuple[Mapping[str, Definition], Mapping[str, ContextCodec]]:
    """Give steps, and what packs contexts, of each release that this program has."""
    definitions = {current.release: current}
    codecs = {current.release: ContextCodec(config.context_type, config.context_limit)}
    for version, given in older.items():
        if version == config.version:
            raise SagaDefinitionError(
                f"older gives steps of version {version}, which is the version of the steps themselves: who changes "
                f"steps raises SagaConfig.version"
            )
        known = given if isinstance(given, Release) else Release(given, config.context_type)
        definition = Definition(known.steps, version)
        definitions[definition.release] = definition
        codecs[definition.release] = ContextCodec(known.context_type, config.context_limit)
    return definitions, codecs
