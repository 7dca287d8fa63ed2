"""Beside prometheus_client: in its registry, and with it in ours."""

from __future__ import annotations

import pytest
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from botmetry import LogSettings, MetricError, Telemetry


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


def test_a_telemetry_does_not_show_another():
    """Both have the families of the catalogue, which would be shown twice."""
    first, second = (Telemetry(name, log=LogSettings(output="none")) for name in ("shop", "till"))
    with pytest.raises(MetricError, match="the Registry that is to be registered has it as well"):
        first.registry.register(second.registry)


CLASHES = {
    "counter": lambda registry: Counter("bot_requests", "Theirs.", ["command"], registry=registry),
    "gauge of a counter's name": lambda registry: Gauge("bot_requests_total", "Theirs.", registry=registry),
    "gauge of a bucket's name": lambda registry: Gauge(
        "bot_request_duration_seconds_bucket", "Theirs.", registry=registry
    ),
    "histogram": lambda registry: Histogram("bot_request_duration_seconds", "Theirs.", registry=registry),
    "info": lambda registry: Info("botmetry_build", "Theirs.", registry=registry),
}


@pytest.mark.parametrize("make", CLASHES.values(), ids=CLASHES)
def test_what_has_a_name_of_ours_is_refused_when_it_is_registered(telemetry, theirs, make):
    """A registry or a collector; the error says which name and what to do, and nothing of it is shown."""
    collector = make(theirs)
    shown = names(parse_text(telemetry.render().decode()))
    for refused in (theirs, collector):
        with pytest.raises(ValueError, match="^metric bot.*parsers refuse .* give it another name") as caught:
            telemetry.registry.register(refused)
        assert type(caught.value) is MetricError
    assert names(parse_text(telemetry.render().decode())) == shown


def test_a_metric_of_ours_is_refused_when_one_of_theirs_has_its_name(telemetry, theirs):
    """Also one that they made after their registry was registered; with other names everything goes on."""
    telemetry.registry.register(theirs)
    Gauge("stock", "Theirs.", registry=theirs)
    single = Histogram("picking_seconds", "Theirs.", registry=None)
    telemetry.registry.register(single)
    for declare in (
        lambda: telemetry.counter("orders_total", "Ours."),
        lambda: telemetry.gauge("stock", "Ours."),
        lambda: telemetry.histogram("picking_seconds", "Ours."),
    ):
        with pytest.raises(MetricError, match="that is registered here has .* already.*choose another name"):
            declare()
    telemetry.counter("refunds_total", "Ours.")
    telemetry.registry.unregister(single)
    telemetry.histogram("picking_seconds", "Ours.")
    assert {"refunds", "picking_seconds", "orders"} <= names(parse_text(telemetry.render().decode()))


def test_two_of_theirs_with_one_name_are_refused(telemetry, theirs):
    """As their own registry does."""
    telemetry.registry.register(theirs)
    with pytest.raises(MetricError, match="^metric orders"):
        telemetry.registry.register(Counter("orders", "Another.", registry=None))


class Changing:
    """A collector of a user's that does not say beforehand what it shows."""

    shown = "shelf"

    def collect(self):
        yield GaugeMetricFamily(self.shown, "Theirs.", value=7)
        yield GaugeMetricFamily("shop_open", "Theirs.", value=1)


def test_a_collector_that_takes_a_name_of_ours_later_breaks_no_scrape(telemetry):
    """The family is left out, and counted; the others of the collector stay."""
    collector = Changing()
    telemetry.registry.register(collector)
    assert {"shelf", "shop_open"} <= names(parse_text(telemetry.render().decode()))
    collector.shown = "bot_active_users"
    for parse, openmetrics in ((parse_text, False), (parse_openmetrics, True)):
        text = telemetry.render(openmetrics=openmetrics).decode()
        assert {"bot_active_users", "shop_open"} <= names(parse(text))
        assert "bot_active_users 7" not in text
    assert 'telemetry_errors_total{component="metrics.bot_active_users"} 2' in telemetry.render().decode()
    around = CollectorRegistry()
    around.register(telemetry.registry)
    assert {"bot_active_users", "shop_open"} <= names(parse_text(generate_latest(around).decode()))
