"""Observing one object of a library by making it an instance of a subclass of its own class.

Nothing else of the library changes: other objects of the class are not observed, `isinstance` stays true, `super()`
reaches the original method, and objects with `__slots__`, whose methods cannot be replaced one by one, work alike.
Taking the observation back is one assignment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import new_class
from typing import Any, TypeAlias

from botmetry.errors import BotmetryError

__all__ = ["Undo", "already_observed", "observe", "observed_class", "original_class"]

Undo: TypeAlias = Callable[[], None]

_ORIGINAL = "__botmetry_original__"
_OBSERVATION = "__botmetry_observation__"


def observed_class(cls: type[Any], methods: Mapping[str, Callable[..., Any]]) -> type[Any]:
    """Return a subclass of `cls` with some methods replaced; it calls itself what `cls` does."""
    namespace: dict[str, object] = {
        "__slots__": (),  # with none of its own, an object of `cls` can become one of the subclass
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        _ORIGINAL: cls,
        **methods,
    }
    return new_class(cls.__name__, (cls,), exec_body=lambda body: body.update(namespace))


def original_class(target: object) -> type[Any]:
    """Return the class of `target` as the library made it, also when it is or was observed."""
    cls: type[Any] = getattr(type(target), _ORIGINAL, type(target))
    return cls


def observe(target: Any, telemetry: object, cls: type[Any], undone: Undo) -> Undo:
    """Make `target` an instance of `cls`, made by `observed_class`, and return how to take that back.

    Args:
        target: The object.
        telemetry: Who observes it.
        cls: Its class from now on.
        undone: What is to be done besides when it is taken back.
    """

    def undo() -> None:
        if type(target) is cls:
            target.__class__ = original_class(target)
            undone()

    setattr(cls, _OBSERVATION, (telemetry, undo))
    target.__class__ = cls
    return undo


def already_observed(target: object, telemetry: object) -> Undo | None:
    """Return how to take back the observation of `target` by `telemetry`; None when nobody observes it.

    Raises:
        BotmetryError: Another telemetry object observes it.
    """
    observer, undo = getattr(type(target), _OBSERVATION, (None, None))
    if observer is not None and observer is not telemetry:
        raise BotmetryError(
            f"this {type(target).__name__} is observed by another Telemetry; "
            "call the undo that its `instrument` returned"
        )
    return undo
