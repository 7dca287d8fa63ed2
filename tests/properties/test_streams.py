"""Whatever happens in whatever order, a streams queue does what a simple model of it does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
import pytest
import redis as redis_client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from midas.demo.servers import RedisServer
from midas.errors import TaskUnknown
from midas.queue import Limit, NewTask, TaskPriority, TaskQueue, TaskQueueConfig, UnreadableTask
from midas.queue.streams import settlements
from midas.queue.streams.messages import (
    Head,
    pack_body,
    pack_head,
    pack_outcome,
    unpack_body,
    unpack_head,
    unpack_outcome,
)
from midas.queue.streams.reader import Reader

from ..integration.streams.ground import check_consistent, check_drained  # noqa: TID252

LEASE = 30.0
MOST_DELIVERIES = 2
LONG = 1_000_000.0

_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
_SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | _TEXT
_VALUES = st.recursive(
    _SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(_TEXT, v, max_size=4), max_leaves=20
)
_WHOLE = st.integers(0, 2**53)


@given(payload=st.dictionaries(_TEXT, _VALUES, max_size=5), carrier=st.dictionaries(_TEXT, _TEXT, max_size=3))
def test_every_payload_arrives_as_it_was_sent(payload, carrier):
    """Packing and unpacking a body gives the same payload and carrier."""
    body = unpack_body(pack_body("t", payload, carrier))
    assert (body.version, body.payload, body.carrier) == (1, payload, carrier)


@given(st.builds(Head, _TEXT, _TEXT, *[_WHOLE] * 6, _TEXT, st.lists(_TEXT, max_size=10)))
def test_every_head_arrives_as_it_was_sent(head):
    """Packing and unpacking a head gives the same."""
    assert unpack_head(pack_head(head)) == head


@given(st.binary(max_size=200) | _VALUES.map(msgspec.msgpack.encode))
def test_any_bytes_are_a_message_or_unreadable(data):
    """Decoding arbitrary bytes gives a message or UnreadableTask, and never another error."""
    for unpack in (unpack_head, unpack_body, unpack_outcome):
        with suppress(UnreadableTask):
            unpack(data)


@given(reason=st.text(max_size=100), result=_VALUES)
def test_every_outcome_arrives_as_it_was_sent(reason, result):
    """Packing and unpacking an outcome gives the same, lone surrogates aside."""
    outcome, received = unpack_outcome(pack_outcome("COMPLETED", "1-0", result=result))
    assert (outcome.state, outcome.token, received) == ("COMPLETED", "1-0", result)
    if reason:
        outcome, received = unpack_outcome(pack_outcome("FAILED", "", reason=reason))
        assert (outcome.reason, received) == (reason.encode("utf-8", "replace").decode(), None)


@dataclass
class Expected:
    """One task as the model sees it."""

    id: str
    unique: str | None
    state: str = "waiting"
    holder: str = ""
    message_id: str = ""
    settled: tuple[str, str] = ("", "")
    due: float = 0.0
    deaths: int = 0
    unwanted: bool = False
    outcomes: list[str] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        return self.state in {"waiting", "delayed", "held"}

    def go(self, state: str) -> None:
        self.state, self.holder, self.message_id = state, "", ""

    def end(self, state: str) -> None:
        self.go(state)
        self.unwanted = False
        self.outcomes.append(state)


class StreamsMachine(RuleBasedStateMachine):
    """Readers take, settle, fall silent and come back; tasks are added, cancelled, recovered and replayed."""

    tasks = Bundle("tasks")
    deliveries = Bundle("deliveries")

    def __init__(self, url: str) -> None:
        super().__init__()
        self.now = 1_800_000_000.0
        self.model: dict[str, Expected] = {}
        self.leases: dict[str, float] = {}
        self.runner = asyncio.Runner()
        with redis_client.Redis.from_url(url) as plain:
            plain.flushall()
        config = TaskQueueConfig(
            url,
            lease_seconds=LEASE,
            max_deliveries=MOST_DELIVERIES,
            known_seconds=LONG,
            result_ttl=LONG,
            limits={"one": Limit(concurrency=1), "paced": Limit(per_second=100, burst=3)},
        )
        self.queue = TaskQueue(config, clock=lambda: self.now)
        self.readers = {name: self._reader(name) for name in ("a", "b")}

    def teardown(self) -> None:
        try:
            self._run(self._drain())
        finally:
            self.runner.run(self.queue.aclose())
            self.runner.close()
            self.queue.telemetry.close()

    @rule(
        target=tasks,
        kinds=st.lists(
            st.tuples(
                st.sampled_from(["any", "one", "paced"]),
                st.sampled_from(TaskPriority),
                st.sampled_from([0.0, 0.0, 10.0, 100.0]),
                st.sampled_from([None, None, "u", "v"]),
            ),
            min_size=1,
            max_size=6,
        ),
    )
    def add(self, kinds):
        news, expected = [], []
        for task_type, priority, delay, unique in kinds:
            task_id = f"task-{len(self.model) + len(news)}"
            news.append(NewTask(task_type, {}, priority, delay, task_id=task_id, unique_key=unique))
        ids = self._run(self.queue.add_tasks(news))
        for new, there in zip(news, ids, strict=True):
            owner = self._owner(new.unique_key)
            assert there == (owner or new.task_id)
            task = Expected(new.task_id, new.unique_key)
            self.model[task.id] = task
            if owner:
                task.go("refused")
            else:
                task.state, task.due = ("delayed", self.now + new.delay) if new.delay else ("waiting", 0.0)
                expected.append(task.id)
        return multiple(*expected)

    @rule(task_id=tasks)
    def add_again(self, task_id):
        assert self._run(self.queue.add_task("any", task_id=task_id)) == task_id

    @rule(
        target=deliveries,
        name=st.sampled_from(["a", "b"]),
        slots=st.integers(0, 8),
        more=st.integers(0, 5),
    )
    def take(self, name, slots, more):
        reader = self.readers[name]
        taken = self._run(reader.take(slots, more))
        self.leases[reader.name] = self.now + LEASE
        for task in self.model.values():
            if task.state == "delayed" and task.due <= self.now:
                task.go("waiting")
        for task in taken:
            expected = self.model[task.id]
            assert expected.state == "waiting"
            assert task.head.deliveries == expected.deaths
            expected.state, expected.holder, expected.message_id = "held", reader.name, task.message_id
        assert len(taken) <= slots + more
        ones = [task for task in self.model.values() if task.state == "held" and task.id in self._ones(taken)]
        assert len(ones) <= 1
        return multiple(*((name, reader, task) for task in taken))

    @rule(delivery=consumes(deliveries), ending=st.sampled_from(["done", "again", "later", "dead", "back"]))
    def settle(self, delivery, ending):
        self._settle(delivery, ending)

    @rule(delivery=deliveries, ending=st.sampled_from(["done", "again", "dead"]))
    def settle_and_keep(self, delivery, ending):
        """What was settled once is settled again, perhaps otherwise: the first settlement stands."""
        self._settle(delivery, ending)

    def _settle(self, delivery, ending):
        _, reader, task = delivery
        expected = self.model[task.id]
        owns = expected.message_id == task.message_id
        settlement = {
            "done": lambda: settlements.completed(task, task.message_id),
            "again": lambda: settlements.retried(task, "again", 0.0),
            "later": lambda: settlements.retried(task, "later", 20.0),
            "dead": lambda: settlements.buried(task, "dead", ""),
            "back": lambda: settlements.returned(task),
        }[ending]()
        verdicts = []
        self._run(self._say(reader, task, settlement, verdicts))
        # One that is repeated may be told that it stands; any other that comes too late is refused.
        said = (task.message_id, ending if ending in {"done", "dead"} else "again")
        assert verdicts == [owns or (verdicts == [True] and expected.settled == said)]
        if owns:
            expected.settled = said
            if ending == "done":
                expected.end("COMPLETED")
            elif ending == "dead":
                expected.end("FAILED")
                expected.state = "dead"
            elif expected.unwanted:
                expected.end("CANCELLED")
            elif ending == "later":
                expected.go("delayed")
                expected.due = self.now + 20.0
            else:
                expected.go("waiting")

    @rule(seconds=st.sampled_from([0.5, 9.0, 29.0, 31.0, 101.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(name=st.sampled_from(["a", "b"]))
    def renew(self, name):
        reader = self.readers[name]
        self._run(self.queue.send(self.queue.calls.renew(reader.name)))
        self.leases[reader.name] = self.now + LEASE

    @rule(name=st.sampled_from(["a", "b"]))
    def crash(self, name):
        """A process is gone, and another comes under its name; what it held may still be settled by its ghost."""
        self.readers[name] = self._reader(name)

    @rule()
    def recover(self):
        lapsed = {reader for reader, end in self.leases.items() if end <= self.now}
        recovered = 0
        for task in self.model.values():
            if task.holder in lapsed:
                task.deaths += 1
                task.settled = (task.message_id, "again")
                if task.deaths >= MOST_DELIVERIES:
                    task.end("FAILED")
                    task.state = "dead"
                    continue
                recovered += 1
                if task.unwanted:
                    task.end("CANCELLED")
                else:
                    task.go("waiting")
        assert self._run(self.queue.recover()) == recovered

    @rule(task_id=tasks)
    def cancel(self, task_id):
        task = self.model[task_id]
        assert self._run(self.queue.cancel(task_id)) == task.is_live
        if task.state == "held":
            task.unwanted = True
        elif task.is_live:
            task.end("CANCELLED")

    @rule(task_id=tasks)
    def look(self, task_id):
        task = self.model[task_id]
        states = {"waiting": "PENDING", "delayed": "PENDING", "held": "PROCESSING", "dead": "FAILED"}
        assert self._run(self.queue.get_task_status(task_id)) == states.get(task.state, task.state)

    @rule(chosen=st.lists(tasks, max_size=4))
    def replay(self, chosen):
        replayed = 0
        for task_id in dict.fromkeys(chosen):
            task = self.model[task_id]
            if task.state == "dead" and not self._owner(task.unique):
                task.go("waiting")
                task.deaths = 0
                task.outcomes.clear()
                replayed += 1
        assert self._run(self.queue.replay(list(dict.fromkeys(chosen)))) == replayed

    @rule()
    def purge_unknown(self):
        assert self._run(self.queue.purge(["nobody"])) == 0
        with pytest.raises(TaskUnknown):
            self._run(self.queue.get_task_status("nobody"))

    @invariant()
    def the_bookkeeping_agrees(self):
        now = self._run(check_consistent(self.queue))
        assert now.live.keys() == {task.id for task in self.model.values() if task.is_live}
        assert set(now.sets["dead"]) == {task.id for task in self.model.values() if task.state == "dead"}
        assert now.in_flight() == {task.id for task in self.model.values() if task.state == "held"}
        unwanted = {task.id for task in self.model.values() if task.unwanted}
        assert set(now.sets["cancelled"]) == unwanted
        unique = {task.unique: task.id for task in self.model.values() if task.is_live and task.unique}
        assert {key: value.decode() for key, value in now.hashes["unique"].items()} == unique

    @invariant()
    def every_task_ends_at_most_once(self):
        assert all(len(task.outcomes) <= 1 for task in self.model.values())

    async def _drain(self):
        """Whatever was left, a fresh reader can get at all of it, and nothing remains."""
        for _ in range(30):
            self.now += 101.0
            await self.queue.recover()
            reader = self._reader("last")
            while taken := await reader.take(100):
                for task in taken:
                    reader.settle(task, settlements.completed(task, None))
                await reader.flush()
            # One after the other: dozens of new connections at once take a slow machine longer than an answer may.
            if not any([await self._is_live(task_id) for task_id in self.model]):
                break
        await check_drained(self.queue)

    async def _is_live(self, task_id):
        with suppress(TaskUnknown):
            return await self.queue.get_task_status(task_id) in {"PENDING", "PROCESSING"}

    async def _say(self, reader, task, settlement, verdicts):
        reader.settle(task, settlement, verdicts.append)
        await reader.flush()

    def _owner(self, unique):
        return next(
            (task.id for task in self.model.values() if unique and task.unique == unique and task.is_live),
            None,
        )

    def _ones(self, taken):
        return {task.id for task in taken if task.type == "one"}

    def _reader(self, name):
        return Reader(self.queue, name, on_taken_away=lambda task: None, on_cancelled=lambda task: None)

    def _run(self, call):
        return self.runner.run(call)


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def test_the_queue_behaves_as_its_model(server):
    """Nothing is lost, nothing ends twice, and the bookkeeping agrees with the tasks: after any history."""
    run_state_machine_as_test(
        lambda: StreamsMachine(server.url),
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            phases=[__import__("hypothesis").Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
