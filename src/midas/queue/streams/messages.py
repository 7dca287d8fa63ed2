"""What lies in the streams: the head, which the scripts can read, and the body, which only workers can.

Both are MessagePack by msgspec and never pickle: reading a message must not be able to run code.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from midas.queue.envelope import MOST_BYTES, MOST_REASON_CHARACTERS, Outcome
from midas.queue.errors import InvalidTask, UnreadableTask

VERSION: Final = 1
_STR_8: Final = 256
_ONLY_TEXT: Final = {str}
HISTORY_LENGTH: Final = 10
"""Errors kept with a task: the first ones leave."""


class Head(msgspec.Struct, array_like=True):
    """What moves and changes with a task. ``prelude.lua`` and ``cancel.lua`` count on the places of some.

    Attributes:
        id: The task's id, the same in every delivery.
        type: By which the handler is found.
        retries: Runs that ended in an error.
        deliveries: Workers that died with it.
        enqueued: When it was first enqueued, ms since 1970 by Redis's clock; 0 while the id of its entry says it.
        wait: ms that it may wait for its first run, 0 for ever.
        timeout: ms that a run may take.
        max_retries: Runs after the first that it gets.
        unique: Its unique key, empty for none.
        history: What went wrong so far, one line each.
    """

    id: str
    type: str
    retries: int
    deliveries: int
    enqueued: int
    wait: int
    timeout: int
    max_retries: int
    unique: str
    history: list[str]


class Body(msgspec.Struct, array_like=True):
    """What the handler gets.

    Attributes:
        version: Of this layout.
        payload: Its arguments.
        carrier: Trace and log context of whoever enqueued it, as ``Telemetry.carrier()`` gives it.
    """

    version: int
    payload: dict[str, Any]
    carrier: dict[str, str]


class Note(msgspec.Struct, array_like=True):
    """Why a task was given up.

    Attributes:
        reason: One line.
        traceback: Of the last error, or empty.
        worker: Who gave it up.
    """

    reason: str
    traceback: str
    worker: str


_encoder: Final = msgspec.msgpack.Encoder()
_heads: Final = msgspec.msgpack.Decoder(Head)
_bodies: Final = msgspec.msgpack.Decoder(Body)
_notes: Final = msgspec.msgpack.Decoder(Note)
_versions: Final = msgspec.msgpack.Decoder(tuple[int, Any, Any])

pack_head = _encoder.encode
pack_note = _encoder.encode


def pack_body(task_type: str, payload: dict[str, Any], carrier: dict[str, str]) -> bytes:
    """Encode what the handler gets.

    Raises:
        InvalidTask: The payload holds something that MessagePack does not know, or is larger than ``MOST_BYTES``.
    """
    if not isinstance(payload, dict) or not _are_text(payload):
        raise InvalidTask(
            f"the payload of {task_type} cannot be sent: it is no dict with strings as its keys"
        )
    return _pack(Body(VERSION, payload, carrier), f"the payload of {task_type}")


def pack_for_lua(rows: Iterable[tuple[Any, ...]]) -> bytes:
    """Encode rows of values for a script: the decoder that Lua has in Redis knows text and no bytes."""
    return _encoder.encode([tuple(_as_text(v) if type(v) is bytes else v for v in row) for row in rows])


def unpack_head(data: bytes) -> Head:
    """Decode a head.

    Raises:
        UnreadableTask: The bytes are none.
    """
    try:
        return _heads.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableTask(f"the head cannot be decoded: {error}") from error


def unpack_body(data: bytes) -> Body:
    """Decode a body.

    Raises:
        UnreadableTask: The bytes are none, or have a version that this program does not know.
    """
    try:
        body = _bodies.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        _check_version(data)
        raise UnreadableTask(f"the body cannot be decoded: {error}") from error
    if body.version != VERSION:
        _check_version(data)
    return body


def unpack_note(data: bytes) -> Note:
    """Decode why a task was given up."""
    return _notes.decode(data)


def pack_outcome(state: str, token: str, *, reason: str = "", result: object = None) -> bytes:
    """Encode how a task ended: a line of JSON that the scripts read, too, and the result.

    Args:
        state: COMPLETED, FAILED, TIMEOUT or CANCELLED.
        token: The stream's entry that was the delivery which ended it; empty where nobody was running it.
        reason: Why there is no result.
        result: What MessagePack knows.

    Raises:
        InvalidTask: The result holds something that MessagePack does not know, or is larger than ``MOST_BYTES``.
    """
    if not reason:
        return f'["{state}","{token}",""]\n'.encode() + _pack(result, "the result")
    # The text of an exception may be anything, lone surrogates and whole documents included.
    readable = reason[:MOST_REASON_CHARACTERS].encode("utf-8", "replace").decode()
    return msgspec.json.encode(Outcome(state, token, readable)) + b"\n"


def unpack_outcome(data: bytes) -> tuple[Outcome, Any]:
    """Decode how a task ended, and its result (None where there is none).

    Raises:
        UnreadableTask: The bytes are no outcome.
    """
    line, _, encoded = data.partition(b"\n")
    try:
        outcome = msgspec.json.decode(line, type=Outcome)
        return outcome, msgspec.msgpack.decode(encoded) if encoded else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableTask(f"the outcome cannot be decoded: {error}") from error


def _are_text(names: Iterable[object]) -> bool:
    kinds = set(map(type, names))
    return kinds <= _ONLY_TEXT or all(issubclass(kind, str) for kind in kinds)


def _as_text(data: bytes) -> msgspec.Raw:
    # str 8 and str 32 of the MessagePack specification.
    size = len(data)
    head = b"\xd9" + size.to_bytes(1, "big") if size < _STR_8 else b"\xdb" + size.to_bytes(4, "big")
    return msgspec.Raw(head + data)


def _check_version(data: bytes) -> None:
    try:
        version = _versions.decode(data)[0]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    if version != VERSION:
        raise UnreadableTask(f"the body has version {version}, and this program reads version {VERSION}")


def _pack(value: object, name: str) -> bytes:
    try:
        data = _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidTask(f"{name} cannot be sent: {error}") from error
    if len(data) > MOST_BYTES:
        raise InvalidTask(
            f"{name} has {len(data)} bytes, and {MOST_BYTES} are the most: store it and send its id"
        )
    return data
