"""``midas saga``: look at sagas, and decide about those that wait for a person."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from botmetry import LogSettings, Telemetry
from midas.cli.errors import WrongCall
from midas.cli.tables import as_json, duration, fields, instant, table
from midas.redis import Availability, connect
from midas.saga import SagaConfig, SagaOversight, SagaUnknown, saga_names
from midas.saga.keys import check_id

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Mapping

    from midas.saga import SagaView, StepRecord

_ANSWER_SECONDS: Final = 2.0
_SETTLED: Final = frozenset({"PENDING", "COMPLETED", "COMPENSATED"})
_DECISIONS: Final = {
    "resume": "tries again what failed",
    "skip": "goes on without {step}",
    "resolve": "is ended",
    "abort": "turns back",
}


async def run(arguments: argparse.Namespace, redis_url: str) -> str:
    """Do what was asked for, and give the answer.

    Raises:
        WrongCall: No such kind of saga ever ran.
        SagaUnknown: There is no saga with this id.
        UnreadableSaga: Its record was written by a newer program, or damaged.
        NotPossible: What was asked for does not go with its state.
        QueueUnavailable: Redis does not answer.
    """
    async with _overseers(redis_url) as overseers:
        if arguments.action == "ls":
            return await _ls(overseers, arguments)
        overseer, view = await _find(overseers, check_id(arguments.saga))
        if arguments.action == "show":
            return as_json(_plain(view)) if arguments.json else _show(view)
        await _decide(overseer, arguments)
        decided = await overseer.show(arguments.saga)
        what = _DECISIONS[arguments.action].format(**vars(arguments))
        return as_json(_plain(decided)) if arguments.json else f"{view.name} {arguments.saga} {what}"


@asynccontextmanager
async def _overseers(redis_url: str) -> AsyncIterator[Mapping[str, SagaOversight]]:
    """Give one for each kind of saga that ever ran on this Redis, by name."""
    telemetry = Telemetry(service="midas-saga", log=LogSettings(output="none"))
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(redis_url))
        availability = Availability(client, telemetry)
        names = await availability.ask("", lambda: saga_names(client), within=_ANSWER_SECONDS)
        yield {
            name: await stack.enter_async_context(
                SagaOversight(SagaConfig(redis_url=redis_url, name=name), telemetry=telemetry)
            )
            for name in names
        }


async def _find(overseers: Mapping[str, SagaOversight], saga_id: str) -> tuple[SagaOversight, SagaView]:
    for overseer in overseers.values():
        try:
            return overseer, await overseer.show(saga_id)
        except SagaUnknown:
            continue
    known = f" among {', '.join(overseers)}" if overseers else ": none ever ran on this Redis"
    raise WrongCall(f"there is no saga {saga_id}{known}; midas saga ls lists them")


async def _decide(overseer: SagaOversight, arguments: argparse.Namespace) -> None:
    saga_id = arguments.saga
    if arguments.action == "resume":
        await overseer.resume(saga_id)
    elif arguments.action == "skip":
        await overseer.skip(saga_id, arguments.step)
    elif arguments.action == "resolve":
        await overseer.resolve(saga_id, arguments.note)
    else:
        await overseer.abort(saga_id, arguments.reason, force=arguments.force)


async def _ls(overseers: Mapping[str, SagaOversight], arguments: argparse.Namespace) -> str:
    if arguments.name is not None and arguments.name not in overseers:
        known = f"there are {', '.join(overseers)}" if overseers else "none ever ran on this Redis"
        raise WrongCall(f"there is no kind of saga called {arguments.name!r}: {known}")
    chosen = [overseer for name, overseer in overseers.items() if arguments.name in {None, name}]
    found = [view for overseer in chosen for view in await overseer.list(arguments.state, arguments.limit)]
    latest = sorted(found, key=lambda view: view.created_at, reverse=True)[: arguments.limit]
    if arguments.json:
        return as_json([_plain(view) for view in latest])
    now = time.time()
    return table(
        ("id", "saga", "state", "age", "step", "error"),
        (
            (view.saga_id, view.name, view.state, duration(now - view.created_at), _where(view), view.error)
            for view in latest
        ),
        "no sagas",
    )


def _where(view: SagaView) -> str:
    """The steps that a saga is at: what it could not undo, else what has begun and is not done."""
    begun = [name for name, step in view.steps.items() if step.state not in _SETTLED]
    return ", ".join(view.not_undone or begun)


def _show(view: SagaView) -> str:
    head = fields(
        (
            ("saga", f"{view.name} {view.saga_id}"),
            ("state", view.state),
            ("begun", f"{instant(view.created_at)} UTC"),
            ("release", view.release),
            ("owner", f"{view.owner} (epoch {view.epoch})" if view.owner else None),
            ("owners died", view.recoveries or None),
            ("error", view.error),
            ("abort asked", view.abort),
            ("not undone", ", ".join(view.not_undone)),
            ("context", msgspec.json.encode(view.context).decode()),
        )
    )
    steps = table(
        ("step", "state", "attempts", "undo attempts", "error"),
        (
            (
                name,
                f"{step.state}{' (skipped)' if step.skipped else ''}",
                step.attempts,
                step.undo_attempts,
                step.undo_error or step.error,
            )
            for name, step in _in_order(view)
        ),
        "no step was begun",
    )
    history = table(
        ("at", "epoch", "step", "state", "detail"),
        ((instant(t.at / 1000), t.epoch, t.step, t.state, t.detail) for t in view.history),
        "no history",
    )
    return f"{head}\n\n{steps}\n\n{history}"


def _in_order(view: SagaView) -> list[tuple[str, StepRecord]]:
    """Give the steps as they were begun, which the history tells: Redis keeps them in any order."""
    begun = dict.fromkeys(transition.step for transition in view.history if transition.step in view.steps)
    return [(name, view.steps[name]) for name in begun | dict.fromkeys(view.steps)]


def _plain(view: SagaView) -> dict[str, Any]:
    """Give a saga as JSON holds it, every field there."""
    plain: dict[str, Any] = msgspec.to_builtins(view)
    plain["steps"] = {name: msgspec.structs.asdict(step) for name, step in _in_order(view)}
    plain["history"] = [msgspec.structs.asdict(transition) for transition in view.history]
    return plain
