"""Puts together what steps that ran side by side made of the same context: three ways, given, left and now.

What only one side changed since both were given it is taken from that side, down to the leaves of nested mappings. What
both changed in the same way is taken as it is. All else cannot be decided here, and is refused: above all lists, of
which nobody can say whose elements come first, or whether one that both added is one or two.
"""

from __future__ import annotations

from typing import Any, Final

from midas.saga.errors import InvalidContext

_ABSENT: Final = object()


def merged(
    given: dict[Any, Any], left: dict[Any, Any], now: dict[Any, Any], above: str = ""
) -> dict[Any, Any]:
    """Give what is there now with what one side changed.

    Args:
        given: What both sides were given.
        left: What this side made of it.
        now: What the other side, or several, made of it.
        above: Names what these are the values of.

    Raises:
        InvalidContext: Both changed the same, and differently.
    """
    together: dict[Any, Any] = {}
    for key in [*now, *(key for key in left if key not in now)]:
        before, mine, theirs = (side.get(key, _ABSENT) for side in (given, left, now))
        value = _decided(before, mine, theirs, f"{above}.{key}" if above else str(key))
        if value is not _ABSENT:
            together[key] = value
    return together


def same(one: Any, other: Any) -> bool:
    """Say whether two decoded values are the same; 1, 1.0 and True are three, and a NaN is one."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124 -- only a NaN is not itself


def _decided(before: Any, mine: Any, theirs: Any, where: str) -> Any:
    if same(mine, before):
        return theirs
    if same(theirs, before):
        return mine
    if isinstance(mine, dict) and isinstance(theirs, dict):
        if before is _ABSENT:
            return merged({}, mine, theirs, where)
        if isinstance(before, dict):
            return merged(before, mine, theirs, where)
    if same(mine, theirs) and not isinstance(mine, list):
        return mine
    what = "is a list and " if isinstance(mine, list) or isinstance(theirs, list) else ""
    raise InvalidContext(
        f"{where!r} in the context {what}was changed by this step and by one that ran beside it: let each change a key "
        f"of its own"
    )
