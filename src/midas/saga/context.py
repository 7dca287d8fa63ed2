"""What flows through a saga: a mapping, kept as MessagePack, of a declared type if there is one, and never too large.

A step is given a copy made from the bytes, so it sees just what a process would see that takes the saga over. What it
changed in the copy and what it returned is put into the context when it is done, and dropped when it fails. What steps
that ran beside it changed meanwhile stays: see ``merging``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec

from midas.saga.errors import InvalidContext, SagaDefinitionError, UnreadableContext
from midas.saga.merging import merged

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
        packed = self._normal(self._encode({} if context is None else context))
        if len(packed) > self._limit:
            raise InvalidContext(
                f"a context of {len(packed)} bytes is larger than {self._limit}: keep data elsewhere and its name here"
            )
        return packed

    def unpack(self, packed: bytes) -> Any:
        """Decode a context: an object of the declared type, or a dict.

        Raises:
            UnreadableContext: It is of another type.
        """
        try:
            return self._decoder.decode(packed)
        except Exception as error:  # what the type itself checks may raise anything
            name = "a mapping" if self._type is None else self._type.__name__
            raise UnreadableContext(
                f"its context cannot be read as {name} ({error}): have a program run it that gives the steps of its "
                f"version the type they had, older={{VERSION: Release(steps, TYPE)}}, and then resume it"
            ) from error

    def merge(self, now: bytes, given: bytes, left: Any, returned: Any) -> bytes:
        """Put what one step did into the context.

        Args:
            now: The context as it is; steps that ran beside this one may have changed it.
            given: The context as this step got it.
            left: The object that the step got, as it left it.
            returned: What it returned: a dict or object with what shall be in the context; anything else counts for
                nothing.

        Raises:
            InvalidContext: The outcome does not fit, or contradicts what a step beside this one left behind.
        """
        if self._type is not None and isinstance(returned, self._type):
            left, returned = returned, None
        after = _plain(self._encode(left))
        if isinstance(returned, dict):
            after.update(_plain(self._encode(returned)))
        return self.pack(after) if now == given else self._beside(now, given, after)

    def _beside(self, now: bytes, given: bytes, after: dict[str, Any]) -> bytes:
        contested: list[str] = []
        try:
            # Normalised: what a program of another version wrote in another way is not taken for a change.
            together = merged(_plain(self._normal(given)), after, _plain(self._normal(now)), contested)
        except RecursionError as error:
            raise InvalidContext(f"this cannot be a context: {error}") from error
        packed = self.pack(together)
        if contested:
            keys = " and ".join(map(repr, contested))
            raise InvalidContext(
                f"{keys} in the context was changed by this step and by one that ran beside it: let each change a key "
                f"of its own",
                packed,
            )
        return packed

    def _normal(self, packed: bytes) -> bytes:
        """Give the one form that a context has: with what its type fills in, and without what it does not know."""
        try:
            context = self._decoder.decode(packed)
        except Exception as error:  # what the type itself checks may raise anything
            raise InvalidContext(f"this cannot be a context: {error}") from error
        return packed if self._type is None else self._encode(context)

    def _encode(self, value: Any) -> bytes:
        try:
            if self._type is not None:
                with suppress(TypeError):  # keys or members that cannot be put in order
                    # Each process has another order of a set; a step that did not touch one has not changed it.
                    return msgspec.msgpack.encode(value, order="deterministic")
            return msgspec.msgpack.encode(value)
        except _UNFIT as error:
            raise InvalidContext(f"this cannot be a context: {error}") from error


def unpack_any(packed: bytes) -> dict[str, Any]:
    """Decode a context without knowing its type, for people who look."""
    return _plain(packed)


def _plain(packed: bytes) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = msgspec.msgpack.decode(packed, type=dict[str, Any])
    except _UNFIT as error:
        raise InvalidContext(f"this cannot be a context: {error}") from error
    return plain
