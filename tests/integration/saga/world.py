"""A world that sagas change: it knows what was done, under which key, in which order, and what must be true of it."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from midas.saga import SagaState, SagaStep, StepKind, StepRun, Terminal, current_step
from midas.saga.keys import SagaKeys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis.asyncio import Redis

    from midas.saga import SagaView


class Died(BaseException):
    """The process that sent this is dead; nothing it does afterwards has an effect."""


class Unheard(TimeoutError):  # noqa: N818 -- no error of ours
    """It had its effect, and nobody heard of it."""


class MortalSender:
    """Sends calls until it dies: before one is sent, or after it was, so that its reply is lost."""

    def __init__(self, sender) -> None:
        self._sender = sender
        self._at: int | None = None
        self._before = True
        self.sent = 0
        self.is_dead = False

    def live(self) -> None:
        self._at, self.is_dead, self.sent = None, False, 0

    def die(self, at: int, *, before: bool) -> None:
        self.live()
        self._at, self._before = at, before

    async def send(self, call, *, within):
        if self.is_dead:
            raise Died
        self.sent += 1
        is_last = self.sent == self._at
        self.is_dead = is_last
        if is_last and self._before:
            raise Died
        reply = await self._sender.send(call, within=within)
        if self.is_dead:  # a call of another branch may have been the last one meanwhile
            raise Died
        return reply


class World:
    """What the steps of the sagas did.

    Args:
        redis: Where the sagas are, to see that each effect was announced.
        keys: Theirs.
    """

    def __init__(self, redis: Redis, keys: SagaKeys) -> None:
        self._redis = redis
        self._keys = keys
        self._faults: dict[tuple[str, str, str], list[BaseException | None]] = defaultdict(list)
        self._always: dict[tuple[str, str], BaseException] = {}
        self.runs: list[StepRun] = []
        self.applied: dict[str, set[str]] = defaultdict(set)
        self.unannounced: list[StepRun] = []
        self.denied: set[tuple[str, str]] = set()
        """Steps that had their effect, and said later that they never will."""

    def step(self, name: str, *, undone: bool = True, **options) -> SagaStep:
        if undone:
            options["compensation"] = self._undo
        return SagaStep(name, self._do, **options)

    def fails(
        self, saga_id: str, step: str, *errors: BaseException | None, direction: str = "action"
    ) -> None:
        """Let the next runs of a step raise these: before they have an effect, or after it where it is ``Unheard``."""
        self._faults[saga_id, step, direction].extend(errors)

    def always_fails(self, step: str, error: BaseException, direction: str = "action") -> None:
        self._always[step, direction] = error

    def forget_faults(self) -> None:
        self._faults.clear()
        self._always.clear()

    async def _do(self, _) -> dict[str, str]:
        # UNKNOWN is written of a step that runs when one beside it has just failed.
        run = await self._enter("EXECUTING", "UNKNOWN")
        with self._fault_of(run):
            self.applied[run.saga_id].add(run.step)
        return {run.step: run.idempotency_key}

    async def _undo(self, _) -> None:
        run = await self._enter("COMPENSATING")
        with self._fault_of(run):
            self.applied[run.saga_id].discard(run.step)

    async def _enter(self, *announced: str) -> StepRun:
        run = current_step()
        record = json.loads(await self._redis.hget(self._keys.saga(run.saga_id), f"step:{run.step}") or b"{}")
        if record.get("state") not in announced:
            self.unannounced.append(run)
        self.runs.append(run)
        return run

    @contextmanager
    def _fault_of(self, run: StepRun) -> Iterator[None]:
        faults = self._faults[run.saga_id, run.step, run.direction]
        error = self._always.get((run.step, run.direction)) or (faults.pop(0) if faults else None)
        if isinstance(error, Terminal) and run.step in self.applied[run.saga_id]:
            self.denied.add((run.saga_id, run.step))
        if error is not None and not isinstance(error, Unheard):
            raise error
        yield
        if error is not None:
            raise error

    def of(self, saga_id: str) -> list[StepRun]:
        return [run for run in self.runs if run.saga_id == saga_id]

    def undone(self, saga_id: str) -> list[str]:
        return list(dict.fromkeys(run.step for run in self.of(saga_id) if run.direction == "compensation"))


def check_invariants(
    world: World, view: SagaView, steps: Iterable[SagaStep], *, in_one_go: bool = True
) -> None:
    """Whatever died when: this is true of every saga that has ended or stands still.

    One that a person resumed, so that it did not undo everything in one go, need not have kept the order.
    """
    runs = world.of(view.saga_id)
    order = [step.name for step in steps]
    applied = world.applied[view.saga_id]
    assert world.unannounced == [], "an effect without an intent"
    for run in runs:
        assert run.idempotency_key == f"{view.saga_id}:{run.step}:{run.direction}"

    directions = [run.direction for run in runs]
    assert directions == sorted(directions), "an action after a compensation"  # "action" < "compensation"
    undone = world.undone(view.saga_id)
    assert not in_one_go or undone == sorted(undone, key=order.index, reverse=True), "not undone in reverse"

    ends = [
        line.state
        for line in view.history
        if not line.step and line.state in {"COMPLETED", "FAILED", "ABORTED"}
    ]
    assert len(ends) == view.state.is_over, f"not one end: {ends}"
    if view.state is SagaState.COMPLETED:
        assert applied == set(order)
        assert undone == []
        assert all(view.context[name] == f"{view.saga_id}:{name}:action" for name in order)
    elif view.state in {SagaState.FAILED, SagaState.ABORTED}:
        assert applied == {step.name for step in steps if step.compensation is None and step.name in applied}
        assert view.not_undone == ()
        pivots = {step.name for step in steps if step.kind is StepKind.PIVOT} & applied
        assert all((view.saga_id, name) in world.denied for name in pivots), "turned back past the pivot"
    elif view.state is SagaState.COMPENSATION_FAILED:
        assert set(view.not_undone) == applied != set()
    else:
        assert view.state is SagaState.SUSPENDED, view.state
