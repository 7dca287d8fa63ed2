"""What steps that ran side by side made of one context is put together, or refused where they contradict each other."""

from __future__ import annotations

import math
from decimal import Decimal

import msgspec
import pytest

from midas.saga import InvalidContext
from midas.saga.context import ContextCodec
from midas.saga.merging import same


class Trip(msgspec.Struct, kw_only=True):
    """A context with what JSON and MessagePack write in more than one way."""

    price: float = 0.0
    limit: Decimal = Decimal(0)
    tags: set[str] = msgspec.field(default_factory=set)
    rooms: dict[int, str] = msgspec.field(default_factory=dict)
    booked: dict[str, str] = msgspec.field(default_factory=dict)


def beside(codec, given, *changes):
    """Merge what steps made of their copies of one context, one after the other."""
    packed = now = codec.pack(given)
    for change in changes:
        mine = codec.unpack(packed)
        now = codec.merge(now, packed, mine, change(mine))
    return codec.unpack(now)


@pytest.mark.parametrize(
    ("given", "one", "other", "together"),
    [
        ({}, {"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": 1}, {"a": 2}, {"a": 2}, {"a": 2}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": 2}, {}),
        ({"a": 1}, {"a": True}, {"a": 1}, {"a": True}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1], "b": 1}, {"a": [1, 2], "b": 1}),
        (
            {"a": {"x": {"y": 1, "z": 1}}},
            {"a": {"x": {"y": 1}}},
            {"a": {"x": {"y": 2, "z": 1}}},
            {"a": {"x": {"y": 2}}},
        ),
        ({"a": {1: "x"}}, {"a": {1: "y"}}, {"a": {1: "x", 2: "z"}}, {"a": {1: "y", 2: "z"}}),
    ],
)
def test_what_one_side_changed_is_taken_from_it(given, one, other, together):
    """Key by key and level by level, in either order, and 1 is not taken for True."""
    codec = ContextCodec(None, 10_000)
    packed = codec.pack(given)
    for first, second in ((one, other), (other, one)):
        now = codec.merge(packed, packed, first, None)
        found = codec.unpack(codec.merge(now, packed, second, None))
        assert same(found, together)


@pytest.mark.parametrize(
    ("given", "one", "other", "where"),
    [
        (
            {"a": {"b": {"c": 0}}},
            {"a": {"b": {"c": 1}}},
            {"a": {"b": {"c": 2}}},
            "'a.b.c' in the context was",
        ),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}, "'a' in the context was"),
        ({"a": 1}, {"a": {"x": 1}}, {"a": {"y": 1}}, "'a' in"),
        ({"a": {"x": 1}}, {}, {"a": {"x": 2}}, "'a' in"),
        ({}, {"a": 1}, {"a": 1.0}, "'a' in"),
    ],
)
def test_what_both_sides_changed_is_refused(given, one, other, where):
    """What both changed differently, value, list or mapping, is named, and stays as the first one left it."""
    codec = ContextCodec(None, 10_000)
    packed = codec.pack(given)
    for first, second in ((one, other), (other, one)):
        now = codec.merge(packed, packed, first, None)
        with pytest.raises(InvalidContext, match=f"^{where}") as refusal:
            codec.merge(now, packed, second | {"mine": 1}, None)
        assert codec.unpack(refusal.value.rest) == first | {"mine": 1}


def test_what_a_step_only_copied_is_no_change_of_it():
    """Sets, numbers and times that another process writes in another way do not contradict who really changed them."""
    codec = ContextCodec(Trip, 10_000)
    names = {f"tag {number}" for number in range(50)}
    raw = {
        "price": 1,
        "limit": "1.50",
        "tags": sorted(names, reverse=True),
        "gone": "a field of former times",
    }
    given = msgspec.msgpack.encode(raw)
    now = given
    for name in ("price", "limit", "tags", "booked"):
        mine = codec.unpack(given)
        fresh = {"price": 2.5, "limit": Decimal(9), "tags": {"x"}, "booked": {"a": "b"}}[name]
        setattr(mine, name, fresh)
        now = codec.merge(now, given, mine, None)
    assert codec.unpack(now) == Trip(price=2.5, limit=Decimal(9), tags={"x"}, booked={"a": "b"})


def test_typed_steps_meet_in_a_mapping():
    """Fields of a typed context that are mappings are put together, too, changed or returned."""
    codec = ContextCodec(Trip, 10_000)
    trip = beside(
        codec,
        Trip(rooms={1: "single"}),
        lambda mine: mine.rooms.update({2: "double"}),
        lambda mine: Trip(rooms={**mine.rooms, 3: "suite"}),
        lambda _: {"booked": {"car": "C1"}},
        lambda mine: mine.booked.update(flight="F1"),
    )
    assert trip == Trip(rooms={1: "single", 2: "double", 3: "suite"}, booked={"car": "C1", "flight": "F1"})


def test_what_is_no_number_is_the_same_as_itself():
    """A NaN that nobody touched is no change, though it equals nothing."""
    context = beside(
        ContextCodec(None, 1000),
        {"a": {"nan": math.nan, "n": 0, "m": 0}},
        lambda mine: mine["a"].update(n=1),
        lambda mine: mine["a"].update(m=2),
    )
    assert (context["a"]["n"], context["a"]["m"]) == (1, 2)
