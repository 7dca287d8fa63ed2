"""The numbers of SIZING.md follow from the catalogue, the configurations and the stated assumptions."""

import math
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from botmetry import LogSettings, Telemetry
from botmetry.metrics import CATALOGUE, MetricSpec
from botmetry.stack import sizing
from botmetry.stack.files import find_stack
from botmetry.stack.sizing import (
    KEEPS,
    PROGRAMS,
    REASONS,
    ROLES,
    VALUES,
    Assumptions,
    children,
    marginal,
    need,
    role_series,
    series,
)
from botmetry.stack.sizing_page import render_sizing_page

FILES = find_stack(Path(__file__))
ALL = tuple(CATALOGUE.values())


def _with(changed: MetricSpec) -> tuple[MetricSpec, ...]:
    return tuple(changed if spec.name == changed.name else spec for spec in ALL)


def test_every_label_and_family_is_counted() -> None:
    """Each label of the catalogue has an assumed number of values, and each family a process that fills it."""
    assert {label for spec in ALL for label in spec.labels} <= VALUES.keys()
    assert {spec.family for spec in ALL} == frozenset().union(*ROLES.values())
    for name, (label, _) in sizing._PAIRED.items():
        assert label in CATALOGUE[name].labels


def test_a_bucket_more_costs_a_series_for_every_label_combination() -> None:
    """Adding one bucket to a histogram changes the series of its processes, the needs and the page."""
    spec = CATALOGUE["bot_request_duration_seconds"]
    wider = _with(replace(spec, buckets=(*spec.buckets, 999.0)))
    assert role_series("bot", wider) - role_series("bot") == children(spec) == VALUES["command"]
    assert role_series("worker", wider) == role_series("worker")
    assert need(1_000, scaled=False, catalogue=wider).series - need(1_000, scaled=False).series == children(
        spec
    )
    assert render_sizing_page(wider) != render_sizing_page()


def test_a_metric_more_and_a_label_more_are_counted() -> None:
    """A new metric of any family, known or not, and a new label change the sum."""
    gauge = MetricSpec("shop_orders_open", "gauge", "Open orders.", ("queue",), family="shop")
    assert role_series("worker", (*ALL, gauge)) == role_series("worker") + VALUES["queue"]
    spec = CATALOGUE["redis_operation_duration_seconds"]
    labelled = _with(replace(spec, labels=(*spec.labels, "outcome")))
    assert role_series("bot", labelled) - role_series("bot") == series(spec) * (VALUES["outcome"] - 1)


async def test_counted_is_exposed() -> None:
    """What a real process exposes of a metric with so many values is what the formula says."""
    telemetry = Telemetry(service="sizes", log=LogSettings(output="none"))
    for command in ("a", "b", "c"):
        with telemetry.bot.command(command):
            pass
    lines = telemetry.render().decode().splitlines()
    for name in ("bot_request_duration_seconds", "bot_requests_in_progress"):
        exposed = [line for line in lines if re.match(rf"{name}(_bucket|_sum|_count)?{{", line)]
        assert len(exposed) == series(CATALOGUE[name], {"command": 3})
    telemetry.close()


def test_one_value_more_costs_what_its_metrics_cost() -> None:
    """The price of one more command is that of every metric with a command, for one command."""
    one = sum(series(spec) // VALUES["command"] for spec in ALL if "command" in spec.labels)
    assert marginal("bot", "command") == one
    assert marginal("bot", "model") == 0
    assert marginal("worker", "model") > len(CATALOGUE["ai_request_duration_seconds"].buckets)


def test_users_cost_lines_and_processes_but_no_series() -> None:
    """As long as one process serves them, ten or a thousand users have the same series and proportional lines."""
    few, many = need(10, scaled=False), need(1_000, scaled=False)
    assert (few.series, few.samples, few.metric_disk) == (many.series, many.samples, many.metric_disk)
    assert many.lines == pytest.approx(few.lines * 100)
    assert many.log_disk == pytest.approx(few.log_disk * 100)
    million = need(1_000_000, scaled=True)
    assert million.bots > many.bots
    assert million.workers > many.workers
    assert many.series < million.series < many.series * 100


def test_the_arithmetic() -> None:
    """Samples, storage and processes of a case that can be followed by hand."""
    assumed = Assumptions(active_share=1, commands_a_day=86.4, peak=1, commands_a_second=1, lines_a_command=2)
    found = need(5_000, scaled=False, assumed=assumed)
    # 432,000 commands a day are five a second.
    assert (found.bots, found.workers) == (5, 2)
    assert found.lines == pytest.approx(864_000)
    assert found.log_bytes == pytest.approx(864_000 * 410)
    assert found.log_disk == pytest.approx(found.log_bytes * 14 / 10)
    assert found.samples == pytest.approx(found.series / 15)
    assert found.metric_disk == pytest.approx(found.samples * 86_400 * 35 * 1.8)
    stack = PROGRAMS["number"][0] * PROGRAMS["series"][0]
    assert found.series == stack + 5 * (role_series("bot") + 5) + 2 * (role_series("worker") + 5)


def test_money_follows_the_prices() -> None:
    """Without prices nothing is paid, and the price of memory counts by the GiB."""
    free = Assumptions(memory_usd=0, disk_usd=0, object_usd=0)
    assert need(1_000, scaled=False, assumed=free).usd == 0
    found = need(1_000, scaled=False, assumed=replace(free, memory_usd=1))
    assert found.usd == pytest.approx(found.memory / 2**30)
    assert need(1_000_000, scaled=True, assumed=replace(free, object_usd=1)).usd > 250


def test_every_assumption_has_its_reason() -> None:
    """No number stands on the page without a source or an argument."""
    assert {item.name for item in fields(Assumptions)} == REASONS.keys()
    page = render_sizing_page()
    for item in fields(Assumptions):
        assert f"| {item.name.replace('_', ' ')} | " in page
        assert REASONS[item.name] in page


def test_assumptions_are_those_of_the_configurations() -> None:
    """Scrape interval, retentions and numbers of programs are what the files say."""

    def read(name: str) -> Any:
        return yaml.safe_load((FILES.root / name).read_text("utf-8"))

    assert (
        read("monitoring/prometheus.yml")["global"]["scrape_interval"] == f"{Assumptions().scrape_seconds:g}s"
    )
    one, more = (
        read("docker-compose.monitoring.yml")["services"],
        read("docker-compose.scale.yml")["services"],
    )
    assert f"--storage.tsdb.retention.time={KEEPS['metrics'][0]}d" in one["prometheus"]["command"]
    assert read("monitoring/scale/mimir.yml")["limits"]["compactor_blocks_retention_period"] == (
        f"{KEEPS['metrics'][1]}d"
    )
    for name, days in (("loki-config.yml", KEEPS["logs"][0]), ("scale/loki.yml", KEEPS["logs"][1])):
        assert read(f"monitoring/{name}")["limits_config"]["retention_period"] == f"{days * 24}h"
    optional = {"tempo", "redis-exporter", "postgres-exporter", "probe"}
    running = [name for name, service in one.items() if not service.get("profiles")]
    assert PROGRAMS["number"] == (len(running), len(more.keys() - optional))


def test_limits_leave_room_for_what_is_expected() -> None:
    """Mimir and Loki take ten times what a million users are expected to write, Prometheus' disk what a thousand do."""
    million, thousand = need(1_000_000, scaled=True), need(1_000, scaled=False)
    mimir = yaml.safe_load((FILES.monitoring / "scale" / "mimir.yml").read_text("utf-8"))["limits"]
    assert mimir["max_global_series_per_user"] >= million.series * 8
    assert mimir["ingestion_rate"] >= million.samples * 8
    loki = yaml.safe_load((FILES.monitoring / "scale" / "loki.yml").read_text("utf-8"))["limits_config"]
    assert loki["ingestion_rate_mb"] >= million.log_bytes / 86_400 / 1e6 * Assumptions().peak * 10
    assert thousand.metric_disk < 8e9


def test_the_page_says_what_is_computed() -> None:
    """The figures on the page are those of the functions."""
    page = render_sizing_page()
    small, large = need(1_000, scaled=False), need(1_000_000, scaled=True)
    assert f"| series being written | {small.series:,} | {large.series:,} |" in page
    assert f"| all families | {role_series('bot'):,} | {role_series('worker'):,} |" in page
    assert f"| one more model | +{marginal('bot', 'model'):,} | +{marginal('worker', 'model'):,} |" in page
    assert math.isclose(sum(map(series, ALL)), sum(int(found.replace(",", "")) for found in _families(page)))


def _families(page: str) -> list[str]:
    table = page.split("## By family")[1].split("The largest", maxsplit=1)[0]
    return re.findall(r"^\| \w+ \| \d+ \| ([\d,]+) \|$", table, re.MULTILINE)
