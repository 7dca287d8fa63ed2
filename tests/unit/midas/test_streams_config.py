"""A queue that cannot be is refused where it is made, with a message that names the value."""

from __future__ import annotations

import math

import pytest

from midas.queue import Durability, Limit, TaskQueueConfig
from midas.queue.streams.keys import StreamKeys
from midas.queue.streams.settlements import retry_delay


@pytest.mark.parametrize(
    "settings",
    [
        {"consumer_group": ""},
        {"consumer_group": "x" * 65},
        {"batch_size": 0},
        {"batch_size": 501},
        {"batch_size": True},
        {"max_retries": -1},
        {"max_deliveries": 0},
        {"max_waiting": -1},
        {"retry_seconds": -0.1},
        {"longest_retry_seconds": math.nan},
        {"result_ttl": math.inf},
        {"result_ttl": None},
        {"known_seconds": -1},
        {"age_limit_seconds": -1},
        {"default_timeout": 0},
        {"lease_seconds": 0.001},
        {"lease_seconds": "30"},
    ],
    ids="-".join,
)
def test_impossible_settings_are_refused(settings):
    """A ValueError names what is wrong and what would be right."""
    with pytest.raises(ValueError, match=repr(next(iter(settings.values()))).replace(".", r"\.")):
        TaskQueueConfig(**settings)


@pytest.mark.parametrize(
    "limit",
    [{"concurrency": 0}, {"per_second": 0}, {"per_second": math.inf}, {"per_second": math.nan}, {"burst": 0}],
)
def test_impossible_limits_are_refused(limit):
    """A limit of none, or of no number, is none."""
    with pytest.raises(ValueError, match="and not"):
        Limit(**limit)


@pytest.mark.parametrize("limits", [{"No Type": Limit(1)}, {"mail": 3}, {7: Limit(1)}])
def test_limits_are_of_task_types(limits):
    """What could limit no task, or is no limit, is refused before anybody relies on it."""
    with pytest.raises((ValueError, TypeError), match="limit"):
        TaskQueueConfig(limits=limits)


@pytest.mark.parametrize("name", ["", "Tasks", "1st", "a b", "a{b}", "x" * 65])
def test_impossible_names_are_refused(name):
    """A queue's name is a word that cannot break its hash tag."""
    with pytest.raises(ValueError, match="is called like"):
        StreamKeys(name)


def test_every_key_lies_in_one_slot():
    """All keys of a queue, results and channels included, begin with its hash tag."""
    keys = StreamKeys("mail-2")
    every = [
        *keys.with_results(["a", "b"]),
        keys.marker,
        keys.ended,
        keys.cancellations,
        keys.lease("recovery"),
    ]
    assert len(keys.places) == 24
    assert all(key.startswith("{q:mail-2}:") for key in every)
    assert keys.with_results(["a"])[-1] == "{q:mail-2}:result:a"


@pytest.mark.parametrize(
    ("durability", "confirmed", "is_reached"),
    [
        (Durability(replicas=2), 1, False),
        (Durability(replicas=2), 2, True),
        (Durability(local_disk=True), [0, 0], False),
        (Durability(local_disk=True), [1, 0], True),
        (Durability(replicas=1, local_disk=True), [1, 0], False),
        (Durability(replicas=1, local_disk=True), [1, 2], True),
    ],
)
def test_what_redis_confirms_is_compared_with_what_was_asked(durability, confirmed, is_reached):
    """WAIT answers with a number, WAITAOF with two."""
    assert durability.is_wanted
    assert durability.is_reached(confirmed) is is_reached


@pytest.mark.parametrize(
    "impossible",
    [{"replicas": -1}, {"replicas": 1.5}, {"replicas": True}, {"timeout": 0.0}, {"timeout": math.inf}],
)
def test_impossible_durabilities_are_refused(impossible):
    """Redis takes a timeout of 0 for one without an end."""
    (name,) = impossible
    with pytest.raises(ValueError, match=f"^{name} is "):
        Durability(**impossible)


def test_pauses_grow_and_are_capped_whatever_the_number_of_retries():
    """The limit of the pause doubles up to the cap, and a thousand retries do not overflow."""
    config = TaskQueueConfig(retry_seconds=1.0, longest_retry_seconds=60.0)
    for retries, limit in ((0, 1), (1, 2), (5, 32), (6, 60), (1_000, 60)):
        pauses = [retry_delay(config, retries) for _ in range(500)]
        assert 0 <= min(pauses) < 0.1 * limit
        assert 0.9 * limit < max(pauses) <= limit
