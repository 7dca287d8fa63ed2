"""``midas queue``: look at the queues, and decide about what was given up."""

from __future__ import annotations

import dataclasses
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from botmetry import LogSettings, Telemetry
from midas.cli.errors import WrongCall
from midas.cli.tables import as_json, duration, fields, instant, table
from midas.errors import TaskUnknown
from midas.queue import AITaskQueue, DeadLetter, DeadTask, TaskQueue
from midas.redis import connect
from midas.sync.notices import NOTICES, notices_config

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Mapping, Sequence

    from botmetry import QueueState

AI: Final = "ai"
_KINDS: Final = {AI: "sorted set", NOTICES: "streams"}
_ALL_DEAD: Final = 1_000  # the AI queue keeps no more

Queue = AITaskQueue | TaskQueue
Dead = DeadTask | DeadLetter


async def run(arguments: argparse.Namespace, redis_url: str) -> str:
    """Do what was asked for, and give the answer.

    Raises:
        WrongCall: There is no such queue or dead letter, or this queue cannot do it.
        QueueUnavailable: Redis does not answer.
    """
    async with _queues(redis_url) as queues:
        if arguments.action == "ls":
            return await _ls(queues, as_data=arguments.json)
        queue = queues.get(arguments.queue)
        if queue is None:
            raise WrongCall(f"there is no queue {arguments.queue!r}: midas has {', '.join(queues)}")
        if arguments.action == "show":
            return await _show(queue, arguments)
        if arguments.action == "stats":
            return await _stats(queue, as_data=arguments.json)
        return await _decide(queue, arguments)


@asynccontextmanager
async def _queues(redis_url: str) -> AsyncIterator[Mapping[str, Queue]]:
    telemetry = Telemetry(service="midas-queue", log=LogSettings(output="none"))
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(redis_url))
        ai = await stack.enter_async_context(AITaskQueue(client, AI, telemetry))
        # Not entered: whoever only looks need not refuse a server that is set up badly.
        notices = TaskQueue(notices_config(redis_url), telemetry)
        stack.push_async_callback(notices.aclose)
        yield {AI: ai, NOTICES: notices}


async def _ls(queues: Mapping[str, Queue], *, as_data: bool) -> str:
    states = {name: await queue.state() for name, queue in queues.items()}
    if as_data:
        return as_json([{"queue": name, **_state(state)} for name, state in states.items()])
    return table(
        ("queue", "kind", "ready", "delayed", "in flight", "dead", "oldest"),
        (
            (
                name,
                _KINDS[name],
                state.ready,
                state.delayed,
                state.in_flight,
                state.dead,
                duration(state.oldest_age_seconds) if state.ready else "-",
            )
            for name, state in states.items()
        ),
        "no queues",
    )


async def _show(queue: Queue, arguments: argparse.Namespace) -> str:
    if arguments.task is not None:
        letter = await _one(queue, arguments.task)
        return as_json(_plain(letter)) if arguments.json else _whole(letter)
    dead = await _dead(queue, arguments.limit)
    if arguments.json:
        return as_json([_plain(letter) for letter in dead])
    now = time.time()
    return table(
        ("task", "type", "died", "why"),
        ((letter.id, letter.type, f"{duration(now - letter.died_at)} ago", letter.reason) for letter in dead),
        f"{queue.name} has no dead letters",
    )


async def _dead(queue: Queue, limit: int) -> Sequence[Dead]:
    return await (queue.dead_tasks(limit) if isinstance(queue, AITaskQueue) else queue.dead_letters(limit))


async def _one(queue: Queue, task_id: str) -> Dead:
    if isinstance(queue, TaskQueue):
        try:
            return await queue.dead_letter(task_id)
        except TaskUnknown:
            raise _unknown(queue, [task_id]) from None
    found = next((task for task in await queue.dead_tasks(_ALL_DEAD) if task.id == task_id), None)
    if found is None:
        raise _unknown(queue, [task_id])
    return found


async def _decide(queue: Queue, arguments: argparse.Namespace) -> str:
    """Replay or purge the dead letters that were named."""
    action, ids = arguments.action, list(dict.fromkeys(arguments.tasks))
    if bool(ids) == arguments.all:
        raise WrongCall(f"{action} which dead letters? Give their ids, or --all")
    if isinstance(queue, AITaskQueue):
        if action == "replay":
            raise WrongCall(f"queue {queue.name} cannot replay; /categorize in the bot asks again")
        if ids:
            raise WrongCall(f"queue {queue.name} purges all of its dead letters or none: use --all")
        done = await queue.purge_dead()
    else:
        if missing := [task_id for task_id in ids if not await _is_dead(queue, task_id)]:
            raise _unknown(queue, missing)
        work = queue.replay if action == "replay" else queue.purge
        done = await work(None if arguments.all else ids)
    if arguments.json:
        return as_json({"queue": queue.name, "action": action, "tasks": done})
    return f"{queue.name}: {done} {'replayed' if action == 'replay' else 'purged'}"


async def _is_dead(queue: TaskQueue, task_id: str) -> bool:
    try:
        await queue.dead_letter(task_id)
    except TaskUnknown:
        return False
    return True


async def _stats(queue: Queue, *, as_data: bool) -> str:
    if isinstance(queue, AITaskQueue):
        plain = _state(await queue.state())
    else:
        plain = dataclasses.asdict(await queue.statistics())
        waiting = plain.pop("waiting")
        plain = {f"waiting {priority.name}": waiting[priority] for priority in waiting} | plain
    if as_data:
        return as_json(
            {"queue": queue.name} | {name.replace(" ", "_").lower(): plain[name] for name in plain}
        )
    return fields((name.replace("_", " "), _figure(value)) for name, value in plain.items())


def _figure(value: object) -> object:
    return f"{value:.1f}" if isinstance(value, float) else value


def _unknown(queue: Queue, ids: Sequence[str]) -> WrongCall:
    return WrongCall(
        f"{queue.name} has no dead letter {', '.join(ids)}: midas queue show {queue.name} lists them"
    )


def _state(state: QueueState) -> dict[str, Any]:
    return {
        name: getattr(state, name) for name in ("ready", "delayed", "in_flight", "dead", "oldest_age_seconds")
    }


def _whole(letter: Dead) -> str:
    plain = _plain(letter)
    trace, history = plain.pop("traceback", ""), plain.pop("history", ())
    plain["died_at"] = f"{instant(letter.died_at)} UTC"
    if "payload" in plain:
        plain["payload"] = msgspec.json.encode(plain["payload"]).decode()
    lines = [fields((name.replace("_", " "), value) for name, value in plain.items())]
    lines += [f"before: {line}" for line in history]
    return "\n".join([*lines, trace.rstrip()] if trace else lines)


def _plain(letter: Dead) -> dict[str, Any]:
    """Give a dead letter as JSON holds it."""
    plain = dataclasses.asdict(letter)
    if isinstance(letter, DeadTask):
        plain.pop("body")  # an envelope of another version may be anything
    else:
        plain["priority"] = letter.priority.name
    return plain
