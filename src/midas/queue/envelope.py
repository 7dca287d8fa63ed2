"""What travels: a task's envelope on the way in and its outcome on the way back.

Both are MessagePack by msgspec and never pickle: reading a message must not be able to run code. In front of the result
stands one line of JSON that the scripts read and write, too.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from midas.queue.errors import InvalidTask, UnreadableTask

VERSION: Final = 1
MOST_BYTES: Final = 1_048_576
"""Largest envelope or result. A queue carries references to data, and one Redis thread copies every byte of it."""
MOST_REASON_CHARACTERS: Final = 2_000
"""A reason is one line for a person; the traceback is in the worker's log."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One task as it lies in Redis.

    Attributes:
        v: Version of this layout.
        type: The task's type, by which a worker finds the handler.
        payload: The handler's arguments: strings, numbers, booleans, None, lists and dicts of these.
        carrier: Trace and log context of whoever enqueued it, as ``Telemetry.carrier()`` gives it.
    """

    v: int = VERSION
    type: str
    payload: dict[str, Any]
    carrier: dict[str, str]


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """How a task ended: the line in front of the result.

    Attributes:
        state: COMPLETED, FAILED or TIMEOUT.
        token: Of the delivery that ended it, empty where nobody was running it.
        reason: Why there is no result, empty when there is one.
    """

    state: str
    token: str
    reason: str


class _Version(msgspec.Struct):
    v: int


def pack_task(task_type: str, payload: dict[str, Any], carrier: dict[str, str]) -> bytes:
    """Encode a task.

    Raises:
        InvalidTask: The payload holds something that MessagePack does not know, or is larger than ``MOST_BYTES``.
    """
    return _pack(Envelope(type=task_type, payload=payload, carrier=carrier), f"the payload of {task_type}")


def unpack_task(body: bytes) -> Envelope:
    """Decode a task.

    Raises:
        UnreadableTask: The bytes are no envelope, or one with a version that this program does not know.
    """
    try:
        version = msgspec.msgpack.decode(body, type=_Version).v
        if version == VERSION:
            return msgspec.msgpack.decode(body, type=Envelope)
    # A string that is no UTF-8 is reported by the decoder's own UnicodeDecodeError.
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableTask(f"the envelope cannot be decoded: {error}") from error
    raise UnreadableTask(f"the envelope has version {version}, and this program reads version {VERSION}")


def pack_outcome(state: str, token: str, *, reason: str = "", result: dict[str, Any] | None = None) -> bytes:
    """Encode how a task ended.

    Raises:
        InvalidTask: The result holds something that MessagePack does not know, or is larger than ``MOST_BYTES``.
    """
    encoded = b"" if result is None else _pack(result, "the result")
    # The text of an exception may be anything, lone surrogates and whole documents included.
    readable = reason[:MOST_REASON_CHARACTERS].encode("utf-8", "replace").decode()
    return msgspec.json.encode(Outcome(state, token, readable)) + b"\n" + encoded


def unpack_outcome(data: bytes) -> tuple[Outcome, dict[str, Any]]:
    """Decode how a task ended, and its result (empty where there is none).

    Raises:
        UnreadableTask: The bytes are no outcome.
    """
    line, _, encoded = data.partition(b"\n")
    try:
        outcome = msgspec.json.decode(line, type=Outcome)
        result = msgspec.msgpack.decode(encoded, type=dict[str, Any]) if encoded else {}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableTask(f"the outcome cannot be decoded: {error}") from error
    return outcome, result


def _pack(value: object, name: str) -> bytes:
    try:
        data = msgspec.msgpack.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidTask(f"{name} cannot be sent: {error}") from error
    if len(data) > MOST_BYTES:
        raise InvalidTask(
            f"{name} has {len(data)} bytes, and {MOST_BYTES} are the most: store it and send its id"
        )
    return data
