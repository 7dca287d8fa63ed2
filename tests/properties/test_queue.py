"""Whatever happens in whatever order, the queue does what a simple model of it does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import pytest
import redis as redis_client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from botmetry import LogSettings, Telemetry
from midas.demo.servers import RedisServer
from midas.errors import TaskFailed, TaskTimeout
from midas.queue import AITaskQueue, LeaseLost, UnreadableTask
from midas.queue.envelope import pack_outcome, pack_task, unpack_outcome, unpack_task
from midas.redis import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midas.queue import Task

LEASE = 15.0
MOST_DELIVERIES = 3

# What MessagePack carries unchanged: no floats that are no numbers, integers of 64 bits.
_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
_SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | _TEXT
_VALUES = st.recursive(
    _SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(_TEXT, v, max_size=4), max_leaves=20
)
_PAYLOADS = st.dictionaries(_TEXT, _VALUES, max_size=5)


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@given(payload=_PAYLOADS, carrier=st.dictionaries(_TEXT, _TEXT, max_size=3))
def test_every_payload_arrives_as_it_was_sent(payload, carrier):
    """Packing and unpacking a task gives the same type, payload and carrier."""
    envelope = unpack_task(pack_task("t", payload, carrier))
    assert (envelope.v, envelope.type, envelope.payload, envelope.carrier) == (1, "t", payload, carrier)


@given(body=st.binary(max_size=200) | _VALUES.map(msgspec.msgpack.encode))
def test_any_bytes_are_a_task_or_unreadable(body):
    """Decoding arbitrary bytes gives an envelope or UnreadableTask, and never another error."""
    with suppress(UnreadableTask):
        assert unpack_task(body).v == 1


@given(
    token=st.text(alphabet="0123456789abcdef", max_size=16),
    reason=st.text(max_size=100),  # lone surrogates included
    result=st.none() | _PAYLOADS,
)
def test_every_outcome_arrives_as_it_was_sent(token, reason, result):
    """Packing and unpacking an outcome gives the same, whatever line breaks the reason has."""
    outcome, received = unpack_outcome(pack_outcome("COMPLETED", token, reason=reason, result=result))
    assert (outcome.state, outcome.token, received) == ("COMPLETED", token, result or {})
    assert outcome.reason == reason.encode("utf-8", "replace").decode()


@dataclass
class Expected:
    """One task as the model sees it."""

    id: str
    urgency: tuple[int, int]
    timeout: float
    max_wait: float
    state: str = "PENDING"
    owner: str = ""
    given_back_by: str = ""
    ended_by: str = ""
    deliveries: int = 0
    lease_end: float = 0.0
    deadline: float = 0.0
    dead: bool = False
    outcomes: list[str] = field(default_factory=list)

    def is_overdue(self, now: float) -> bool:
        if self.state == "PENDING":
            return now >= self.deadline
        return self.state == "PROCESSING" and now >= self.deadline and self.lease_end >= self.deadline

    def wait(self, now: float) -> None:
        self.state, self.owner, self.deadline = "PENDING", "", now + self.max_wait

    def end(self, state: str, by: str = "") -> None:
        self.state, self.owner, self.ended_by = state, "", by
        self.outcomes.append(state)


class QueueMachine(RuleBasedStateMachine):
    """Workers take, end, lose, return and renew tasks at any time, also long after they lost them."""

    tasks = Bundle("tasks")
    deliveries = Bundle("deliveries")

    def __init__(self, url: str) -> None:
        super().__init__()
        self.now = 1_800_000_000.0
        self.model: dict[str, Expected] = {}
        self.runner = asyncio.Runner()
        self.telemetry = Telemetry(service="model", log=LogSettings(output="none"))
        self.client = connect(url)
        self.plain = redis_client.Redis.from_url(url)
        self.plain.flushall()
        self.queue = AITaskQueue(
            self.client,
            telemetry=self.telemetry,
            clock=lambda: self.now,
            lease_seconds=LEASE,
            max_deliveries=MOST_DELIVERIES,
        )

    def teardown(self) -> None:
        self.runner.run(self.queue.aclose())
        self.runner.run(self.client.aclose())
        self.runner.close()
        self.plain.close()
        self.telemetry.close()

    @rule(
        target=tasks,
        priorities=st.lists(st.sampled_from([0, 49, 50, 100]), min_size=1, max_size=4),
        timeout=st.sampled_from([4.0, 30.0, 100.0]),
        max_wait=st.sampled_from([10.0, 60.0]),
    )
    def enqueue(self, priorities, timeout, max_wait):
        return multiple(*(self._enqueue(priority, timeout, max_wait) for priority in priorities))

    def _enqueue(self, priority, timeout, max_wait):
        number = len(self.model)
        task_id = f"task-{number}"
        self._run(
            self.queue.enqueue_task(
                "t", {"n": number}, priority=priority, timeout=timeout, max_wait=max_wait, task_id=task_id
            )
        )
        task = self.model[task_id] = Expected(task_id, (100 - priority, number), timeout, max_wait)
        task.wait(self.now)
        return task_id

    @rule(task_id=tasks)
    def enqueue_again(self, task_id):
        self._run(self.queue.enqueue_task("other", {}, priority=100, task_id=task_id))

    @rule(target=deliveries)
    def dequeue(self):
        received = self._dequeue()
        return multiple() if received is None else received

    @rule(target=deliveries, seconds=st.sampled_from([2.1, 15.1, 29.9, 30.0, 500.0]))
    def dequeue_and_stall(self, seconds):
        """A worker takes a task and is not heard of until the sweeper has been there and another has it."""
        stalled = self._dequeue()
        self.now += seconds
        self.recover()
        other = self._dequeue()
        return multiple(*(task for task in (stalled, other) if task is not None))

    def _dequeue(self):
        received = self._run(self.queue.dequeue_task("w"))
        expected = None
        for task in sorted(self._in("PENDING"), key=lambda task: task.urgency):
            if task.is_overdue(self.now):
                task.end("TIMEOUT")
                continue
            expected = task
            break
        assert (received and received.id) == (expected and expected.id)
        if received is None:
            return None
        expected.state, expected.owner = "PROCESSING", received.token
        expected.deliveries += 1
        expected.lease_end = self.now + min(LEASE, expected.timeout / 2)
        expected.deadline = self.now + expected.timeout
        assert received.deliveries == expected.deliveries
        return received

    @rule(task=deliveries, ending=st.sampled_from(["COMPLETED", "FAILED", "TIMEOUT"]))
    def end(self, task: Task, ending: str):
        expected = self.model[task.id]
        if ending == "COMPLETED":
            call = self.queue.store_result(task, {"by": task.token})
        else:
            call = self.queue.fail(task, TimeoutError("slow") if ending == "TIMEOUT" else "broken")
        if expected.owner == task.token:
            late = self.now >= expected.deadline
            expected.end("TIMEOUT" if late else ending, by=task.token)
            self._expect(call, refused=late and ending != "TIMEOUT")
        else:
            self._expect(call, refused=not (expected.ended_by == task.token and expected.state == ending))

    @rule(task=deliveries)
    def extend(self, task: Task):
        expected = self.model[task.id]
        holds = expected.owner == task.token and self.now < expected.deadline
        if holds:
            expected.lease_end = self.now + min(LEASE, expected.timeout / 2)
        self._expect(self.queue.extend(task), refused=not holds)

    @rule(task=deliveries, counted=st.booleans())
    def return_it(self, task: Task, counted: bool):
        expected = self.model[task.id]
        call = self.queue.retry(task, "later") if counted else self.queue.give_back(task)
        if expected.owner == task.token:
            if counted and expected.deliveries >= MOST_DELIVERIES:
                expected.end("FAILED", by=task.token)
                expected.dead = True
            else:
                expected.deliveries -= 0 if counted else 1
                expected.given_back_by = task.token
                expected.wait(self.now)
            self._expect(call, refused=False)
        else:
            was_ours = expected.state in {"PENDING", "PROCESSING"} or expected.dead
            repeated = was_ours and expected.given_back_by == task.token
            ended = expected.ended_by == task.token and expected.state == "FAILED"
            self._expect(call, refused=not (repeated or ended))

    @rule(task=deliveries)
    def bury(self, task: Task):
        expected = self.model[task.id]
        owns = expected.owner == task.token
        repeated = expected.ended_by == task.token and expected.state == "FAILED"
        if owns:
            expected.end("FAILED", by=task.token)
            expected.dead = True
        self._expect(self.queue.bury(task, "hopeless"), refused=not (owns or repeated))

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 14.9, 15.0, 31.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def recover(self):
        recovered = 0
        for task in self._in("PROCESSING"):
            if task.lease_end > self.now or task.is_overdue(self.now):
                continue
            if task.deliveries >= MOST_DELIVERIES:
                task.end("FAILED", by=task.owner)
                task.dead = True
            else:
                task.wait(self.now)
                recovered += 1
        for task in self.model.values():
            if task.is_overdue(self.now):
                task.end("TIMEOUT", by=task.owner)
        assert self._run(self.queue.recover()) == recovered

    @rule()
    def clear(self):
        waiting = self._in("PENDING")
        for task in waiting:
            task.end("FAILED")
        assert self._run(self.queue.clear_queue()) == len(waiting)

    @rule(task_id=tasks)
    def look(self, task_id):
        expected = self.model[task_id]
        if expected.is_overdue(self.now):
            expected.end("TIMEOUT", by=expected.owner)
        assert self._run(self.queue.get_task_status(task_id)) == expected.state

    @rule(task_id=tasks)
    def ask_for_the_result(self, task_id):
        self.look(task_id)
        expected = self.model[task_id]
        call = self.queue.get_result(task_id, timeout=0)
        if expected.state == "COMPLETED":
            assert self._run(call) == {"by": expected.ended_by}
        else:
            with pytest.raises(TaskFailed if expected.state == "FAILED" else TaskTimeout):
                self._run(call)

    @invariant()
    def the_counts_add_up(self):
        state = self._run(self.queue.state())
        assert state.ready == len(self._in("PENDING"))
        assert state.in_flight == len(self._in("PROCESSING"))
        assert state.dead == sum(task.dead for task in self.model.values())

    @invariant()
    def every_task_is_in_exactly_one_place(self):
        places = [
            self.plain.zrange(f"{{q:ai}}:{place}", 0, -1) for place in ("ready", "in_flight", "finished")
        ]
        ids = [task_id.decode() for place in places for task_id in place]
        assert sorted(ids) == sorted(self.model)

    @invariant()
    def every_task_ends_at_most_once(self):
        assert all(len(task.outcomes) <= 1 for task in self.model.values())

    @invariant()
    def nothing_is_left_of_what_ended(self):
        alive = {task.id for task in self.model.values() if not task.outcomes or task.dead}
        for hash_ in ("records", "bodies"):
            assert {task_id.decode() for task_id in self.plain.hkeys(f"{{q:ai}}:{hash_}")} == alive
        waiting = {task.id for task in self._in("PENDING")}
        assert {task_id.decode() for task_id in self.plain.zrange("{q:ai}:arrivals", 0, -1)} == waiting
        running = {task.id for task in self._in("PROCESSING")}
        assert {
            task_id.decode() for task_id in self.plain.zrange("{q:ai}:deadlines", 0, -1)
        } == waiting | running

    def _in(self, state: str) -> list[Expected]:
        return [task for task in self.model.values() if task.state == state]

    def _expect(self, call, *, refused: bool) -> None:
        if refused:
            with pytest.raises(LeaseLost):
                self._run(call)
        else:
            self._run(call)

    def _run(self, call):
        return self.runner.run(call)


def test_the_queue_behaves_as_its_model(server):
    """Nothing is lost, nothing ends twice, the order is priority then arrival, counts add up: after any history."""
    run_state_machine_as_test(
        lambda: QueueMachine(server.url),
        settings=settings(
            max_examples=60,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
