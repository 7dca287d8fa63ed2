"""What flows through a saga: a mapping, kept as MessagePack, of a declared type if there is one, and never too large.

A step is given a copy made from the bytes, so it sees just what a process would see that takes the saga over. What it
changed in the copy and what it returned is put into the context when it is done, and dropped when it fails.
"""

from __future__ import annotations

from typing import Any

import msgspec

from midas.saga.errors import InvalidContext, SagaDefinitionError

_UNFIT = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)


class ContextCodec:
    """Packs contexts and puts together what steps made of them.

    Args:
        context_type: A Struct type, or None for a plain dict.
        limit: Bytes that a packed context may have.

    Raises:
        SagaDefinitionError: The type cannot be kept.
    """

    def __init__(self, context_type: type | None, limit: int) -> None:
        if context_type is not None and not issubclass(context_type, msgspec.Struct):
            raise SagaDefinitionError(f"a context type is a msgspec.Struct and not {context_type.__name__}")
        if context_type is not None and context_type.__struct_config__.array_like:
            raise SagaDefinitionError(
                f"{context_type.__name__} is array_like: what a step changed could not be told"
            )
        try:
            self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(
                context_type or dict[str, Any]
            )
        except TypeError as error:
            raise SagaDefinitionError(f"the context type cannot be kept: {error}") from error
        self._type = context_type
        self._limit = limit

    def pack(self, context: Any) -> bytes:
        """Encode a context: a mapping or an object of the declared type.

        Raises:
            InvalidContext: It does not fit.
        """
        try:
            packed = msgspec.msgpack.encode({} if context is None else context)
            self._decoder.decode(packed)
        except _UNFIT as error:
            raise InvalidContext(f"this cannot be a context: {error}") from error
        if len(packed) > self._limit:
            raise InvalidContext(
                f"a context of {len(packed)} bytes is larger than {self._limit}: keep data elsewhere and its name here"
            )
        return packed

    def unpack(self, packed: bytes) -> Any:
        """Decode a context: an object of the declared type, or a dict."""
        return self._decoder.decode(packed)

    def merge(self, now: bytes, given: bytes, left: Any, returned: Any) -> bytes:
        """Put what one step did into the context.

        Args:
            now: The context as it is; steps that ran beside this one may have changed it.
            given: The context as this step got it.
            left: The object that the step got, as it left it.
            returned: What it returned: a dict or object with what shall be in the context; anything else counts for
                nothing.

        Raises:
            InvalidContext: The outcome does not fit.
        """
        if self._type is not None and isinstance(returned, self._type):
            left, returned = returned, None
        before, after = _plain(given), _plain(self._encode(left))
        merged = _plain(now)
        merged.update(
            {key: value for key, value in after.items() if key not in before or before[key] != value}
        )
        for key in before.keys() - after.keys():
            merged.pop(key, None)
        if isinstance(returned, dict):
            merged.update(_plain(self._encode(returned)))
        return self.pack(merged)

    @staticmethod
    def _encode(value: Any) -> bytes:
        try:
            return msgspec.msgpack.encode(value)
        except _UNFIT as error:
            raise InvalidContext(f"this cannot be in a context: {error}") from error


def unpack_any(packed: bytes) -> dict[str, Any]:
    """Decode a context without knowing its type, for people who look."""
    return _plain(packed)


def _plain(packed: bytes) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = msgspec.msgpack.decode(packed, type=dict[str, Any])
    except _UNFIT as error:
        raise InvalidContext(f"this cannot be a context: {error}") from error
    return plain
