"""Puts together what steps that ran side by side made of the same context: three ways, given, left and now.

What only one side changed since both were given it is taken from that side, down to the leaves of nested mappings. What
both changed in the same way is taken as it is. All else is contested, above all lists, of which nobody can say whose
elements come first, or whether one that both added is one or two.
"""

from __future__ import annotations

from typing import Any, Final

_ABSENT: Final = object()


def merged(
    given: dict[Any, Any], left: dict[Any, Any], now: dict[Any, Any], contested: list[str], above: str = ""
) -> dict[Any, Any]:
    """Give what is there now with what one side changed.

    Args:
        given: What both sides were given.
        left: What this side made of it.
        now: What the other side, or several, made of it; of what is contested, theirs stays.
        contested: Is told the names of what both changed differently, such as ``trip.total``.
        above: Names what these are the values of.
    """
    together: dict[Any, Any] = {}
    for key in [*now, *(key for key in left if key not in now)]:
        before, mine, theirs = (side.get(key, _ABSENT) for side in (given, left, now))
        value = _decided(before, mine, theirs, contested, f"{above}.{key}" if above else str(key))
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


def _decided(before: Any, mine: Any, theirs: Any, contested: list[str], where: str) -> Any:
    if same(mine, before):
        return theirs
    if same(theirs, before):
        return mine
    if isinstance(mine, dict) and isinstance(theirs, dict):
        if before is _ABSENT:
            return merged({}, mine, theirs, contested, where)
        if isinstance(before, dict):
            return merged(before, mine, theirs, contested, where)
    if isinstance(mine, list) or not same(mine, theirs):
        contested.append(where)
    return theirs
