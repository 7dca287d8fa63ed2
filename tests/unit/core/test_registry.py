"""Beside prometheus_client: in its registry, and with it in ours."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from botmetry import LogSettings, Telemetry


@pytest.fixture
def telemetry():
    return Telemetry("shop-bot", log=LogSettings(output="none"))


@pytest.fixture
def theirs():
    """A registry as prometheus_client makes its default one, with a user's counter."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    Counter("orders", "Orders.", registry=registry).inc()
    return registry


def names(families):
    found = [family.name for family in families]
    assert len(found) == len(set(found)), "a family appears twice"
    return set(found)


def test_their_registry_in_ours_shows_everything_once(telemetry, theirs):
    """Nothing is exposed twice, in either format."""
    telemetry.registry.register(theirs)
    text = telemetry.render().decode()
    expected = {"orders", "process_cpu_seconds", "python_gc_collections", "bot_updates", "python_info"}
    assert expected <= names(parse_text(text))
    assert expected <= names(parse_openmetrics(telemetry.render(openmetrics=True).decode()))
    telemetry.registry.unregister(theirs)
    assert "orders" not in names(parse_text(telemetry.render().decode()))


def test_ours_in_their_registry_shows_everything_once(telemetry, theirs):
    """The user's exposition goes on, with our metrics in it."""
    telemetry.bot.update("message")
    theirs.register(telemetry.registry)
    assert {"orders", "process_cpu_seconds", "bot_updates"} <= names(
        parse_text(generate_latest(theirs).decode())
    )
    with pytest.raises(ValueError, match="bot_updates"):
        Counter("bot_updates", "A clash.", registry=theirs)


def test_without_theirs_the_process_is_shown_by_ours(telemetry):
    """A program that has no prometheus_client registry still sees its memory."""
    assert {"process_resident_memory_bytes", "python_info"} <= names(parse_text(telemetry.render().decode()))


def test_two_registries_may_have_each_other(telemetry, theirs):
    """Both exposed in both places: nothing turns in a circle, and nothing is shown twice, whoever is asked."""
    theirs.register(telemetry.registry)
    telemetry.registry.register(theirs)
    telemetry.registry.register(theirs)
    expected = {"orders", "process_cpu_seconds", "bot_updates"}
    assert expected <= names(parse_text(generate_latest(theirs).decode()))
    assert expected <= names(parse_text(telemetry.render().decode()))
    assert expected <= names(parse_openmetrics(telemetry.render(openmetrics=True).decode()))


def test_a_telemetry_that_exposes_another_shows_both():
    """Also when each has the other."""
    first, second = (Telemetry(name, log=LogSettings(output="none")) for name in ("shop", "till"))
    first.counter("first_total", "Of the first.").inc()
    second.counter("second_total", "Of the second.").inc()
    first.registry.register(second.registry)
    second.registry.register(first.registry)
    for telemetry in (first, second):
        shown = telemetry.render().decode()
        assert "\nfirst_total 1.0\n" in shown
        assert "\nsecond_total 1.0\n" in shown
