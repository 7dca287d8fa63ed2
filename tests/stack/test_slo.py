"""Service levels: what is written is what is promised, and what cannot be kept, told or measured is refused."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import yaml

from botmetry.cli import main
from botmetry.errors import StackError
from botmetry.stack.check import check_stack
from botmetry.stack.files import StackFiles
from botmetry.stack.pace import Pace
from botmetry.stack.render import generated, stale, write
from botmetry.stack.rulebook import read_rulebook
from botmetry.stack.rules import each_rule, read_rules, render_rules
from botmetry.stack.slo import ServiceLevel, read_service_levels
from botmetry.stack.slo_rules import BURNS, RECORDED


@dataclass(frozen=True)
class Break:
    """Replace the first `old` after `after` in slo.yml; then `message` is said about that line."""

    old: str
    new: str
    message: str
    after: str = ""
    at: str = ""  # where it is reported when not on the changed line


FAST, UP = "name: bot-answers-fast", "name: processes-answer"

BREAKS = {
    "a metric": Break("bot_requests_total{", "bot_request_total{", "bot_request_total is emitted by nobody"),
    "a label": Break("{outcome=~", "{result=~", "bot_requests_total has no label result"),
    "a kind": Break("total: bot_requests_total", "total: bot_requests_in_progress", "is a gauge"),
    "a gauge that is a counter": Break("gauge: up", "gauge: bot_requests_total", "is a counter", after=UP),
    "a selector that is none": Break(
        'bot_requests_total{outcome!="cancelled"}', "rate(bot_requests_total[5m])", "is not a metric with"
    ),
    "PromQL": Break('{outcome!="cancelled"}', '{outcome!="cancelled"', "is not PromQL"),
    "a histogram": Break(
        "histogram: bot_request_duration_seconds",
        "histogram: bot_requests_total",
        "bot_requests_total is no histogram of the catalogue",
        after=FAST,
    ),
    "a histogram's label": Break(
        "histogram: bot_request_duration_seconds",
        'histogram: bot_request_duration_seconds{task="x"}',
        "has no label task",
        after=FAST,
    ),
    "a threshold between two bounds": Break(
        "threshold: 1\n", "threshold: 2\n", "threshold 2 is no bucket bound", after=FAST
    ),
    "a threshold that is no number": Break(
        "threshold: 1\n", "threshold: fast\n", "threshold fast is no bucket bound", after=FAST
    ),
    "an objective of everything": Break("objective: 0.995", "objective: 1", "is not between 0 and 1"),
    "an objective in percent": Break("objective: 0.995", "objective: 99.5", "is not between 0 and 1"),
    "an objective in words": Break("objective: 0.995", "objective: high", "is not between 0 and 1"),
    "an objective of nothing": Break("objective: 0.995", "objective: 0", "is not between 0 and 1"),
    "an objective no alert can see": Break("objective: 0.995", "objective: 0.9", "has to be above 0.931"),
    "a window": Break("window: 30d", "window: month", "window month is not a duration"),
    "a window shorter than its alerts": Break("window: 30d", "window: 1d", "is shorter than the 3d"),
    "a window longer than the store's": Break(
        "window: 30d", "window: 90d", "longer than Prometheus keeps (35d, docker-compose.monitoring.yml:"
    ),
    "a traffic below nothing": Break("minimum_rate: 0.01", "minimum_rate: -1", "is not a number of events"),
    "a traffic in words": Break("minimum_rate: 0.01", "minimum_rate: some", "is not a number of events"),
    "a name": Break("bot-answers-succeed", "Bot answers", "a name is lower-case words"),
    "a name that is there": Break(FAST, "name: bot-answers-succeed", "another service level"),
    "a key": Break("minimum_rate:", "minimum:", "minimum is no key of a service level"),
    "a key that is missing": Break(
        "    objective: 0.995\n", "", "a service level needs objective", at="name: bot-answers-succeed"
    ),
    "a form": Break("      ratio:\n", "      share:\n", "an indicator is one of"),
    "a ratio's part": Break("        bad:", "        worse:", "worse is no key of a ratio"),
    "a ratio of both": Break(
        '        bad: bot_requests_total{outcome=~"error|timeout"}\n',
        "        bad: bot_errors_total\n        good: bot_requests_total\n",
        "either bad or good",
        at="total: bot_requests_total",
    ),
    "a latency's part": Break(
        "        threshold: 1\n", "", "a latency needs threshold", after=FAST, at="histogram: bot_request"
    ),
    "a scope": Break(
        "objective: 0.995", 'objective: 0.995\n    service: "a b"', "service is a name", at="a b"
    ),
    "the address": Break("http://localhost:3000", "localhost", "grafana_url is not an address"),
    "a key of the file": Break("grafana_url:", "grafana:", "grafana is no key of this file"),
    "the list": Break(
        "service_levels:\n", "service_level:\n", "has no list `service_levels:`", at="grafana_url:"
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_breaking_is_found(copy: StackFiles, name: str) -> None:
    """Each wrong metric, label, bound, number, key or form is told with the line where it stands."""
    broken = BREAKS[name]
    changed = _replace(copy, broken.old, broken.new, after=broken.after)
    problems = [
        problem for problem in read_service_levels(copy).problems if broken.message in problem.message
    ]
    assert problems, read_service_levels(copy).problems
    assert {problem.path for problem in problems} == {copy.service_levels}
    if not broken.at:
        assert problems[0].line == changed
    else:
        assert broken.at in copy.service_levels.read_text("utf-8").splitlines()[problems[0].line - 1]


def test_the_check_tells_it_and_nothing_besides(copy: StackFiles, capsys: pytest.CaptureFixture[str]) -> None:
    """`botmetry check` prints file:line for a broken service level, and does not complain of what follows from it."""
    before = set(check_stack(copy, programs=False).problems)
    line = _replace(copy, "objective: 0.99\n", "objective: 99\n", after=FAST)
    (problem,) = set(check_stack(copy, programs=False).problems) - before
    message = "bot-answers-fast: objective 99 is not between 0 and 1, such as 0.99"
    assert (problem.path, problem.line, problem.message) == (copy.service_levels, line, message)
    assert main(["render", "--project", str(copy.root)]) == 2
    assert f"slo.yml:{line}: {message}" in capsys.readouterr().err


def test_a_list_that_is_no_yaml(copy: StackFiles) -> None:
    """A file that cannot be parsed is an error with its line."""
    copy.service_levels.write_text("service_levels:\n  - name: [\n", "utf-8")
    with pytest.raises(StackError, match=r"slo\.yml:3: "):
        read_rulebook(copy)


def test_rules_follow_the_file(copy: StackFiles, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed objective makes the rules stale, which `render --check` says and `render` mends."""
    project = ["--project", str(copy.root)]
    write(copy)
    _replace(copy, "objective: 0.995", "objective: 0.999")
    assert stale(copy) == [copy.service_level_rules]
    assert main(["render", "--check", *project]) == 1
    assert "monitoring/slo-rules.yml:1: differs from what is generated" in capsys.readouterr().out
    assert main(["render", *project]) == 0
    assert stale(copy) == []
    assert "vector(0.999)" in copy.service_level_rules.read_text("utf-8")


def test_rules_that_were_edited_or_lost(copy: StackFiles) -> None:
    """An edit of the generated file is told with its line, a missing file as missing."""
    write(copy)
    text = copy.service_level_rules.read_text("utf-8")
    place = text.index("> 14.4")
    copy.service_level_rules.write_text(text[:place] + "> 20" + text[place + 6 :], "utf-8")
    (problem,) = (p for p in check_stack(copy, programs=False).problems if p.path == copy.service_level_rules)
    assert problem.line == text.count("\n", 0, place) + 1
    assert "`botmetry render` writes" in problem.message
    copy.service_level_rules.unlink()
    (problem,) = (p for p in check_stack(copy, programs=False).problems if p.path == copy.service_level_rules)
    assert problem.message == "missing; run `botmetry render`"


def test_alerts_are_those_of_the_workbook(files: StackFiles) -> None:
    """14.4 over 1h and 5m and 6 over 6h and 30m wake somebody; 3 over 1d and 2h and 1 over 3d and 6h are read today."""
    alerts = read_rulebook(files).alerts
    seen = {
        (burn.factor, burn.long, burn.short, alerts[burn.alert].rule.get("labels", "severity").text)
        for burn in BURNS
    }
    assert seen == {
        (14.4, "1h", "5m", "critical"),
        (6, "6h", "30m", "critical"),
        (3, "1d", "2h", "warning"),
        (1, "3d", "6h", "warning"),
    }
    for burn in BURNS:
        assert str(alerts[burn.alert].threshold) == f"> {burn.factor:g}"
        expr = alerts[burn.alert].rule.get("expr").text
        assert f"slo_burn:rate{burn.long} > {burn.factor:g}" in expr
        assert f"slo_burn:rate{burn.short} > {burn.factor:g}" in expr


def test_what_is_recorded_is_what_is_declared(files: StackFiles) -> None:
    """The series that dashboards name are recorded, with the labels that are declared."""
    recordings = read_rulebook(files).recordings
    assert {recordings[series.name].series for series in RECORDED} == set(RECORDED)


def test_a_ratio_of_good_events(copy: StackFiles) -> None:
    """Told what is good, what is bad is the rest, and never less than nothing."""
    level = _only(
        copy, {"ratio": {"total": "bot_requests_total", "good": 'bot_requests_total{outcome="ok"}'}}
    )
    whole = "sum by (service) (rate(bot_requests_total[5m]))"
    assert level.total == whole
    good = 'sum by (service) (rate(bot_requests_total{outcome="ok"}[5m]))'
    assert level.bad == f"clamp_min({whole}\n- ({good}\nor {whole} * 0), 0)"


@pytest.mark.parametrize(
    ("scope", "matchers"),
    [
        ({"service": "shop-bot"}, 'service="shop-bot"'),
        ({"service": ["shop-bot", "shop.worker"]}, r'service=~"shop-bot|shop\\.worker"'),
        ({"job": "bots", "service": ["shop-bot"]}, 'service="shop-bot",job="bots"'),
    ],
)
def test_a_scope(copy: StackFiles, scope: dict[str, object], matchers: str) -> None:
    """A service level for one service, some, or a job asks for these only, above and below the line."""
    latency = {"latency": {"histogram": "queue_task_wait_seconds", "threshold": 30}}
    level = _only(copy, latency, **scope)
    assert level.total == f"sum by (service) (rate(queue_task_wait_seconds_count{{{matchers}}}[5m]))"
    assert f'queue_task_wait_seconds_bucket{{{matchers},le="30.0"}}' in level.bad


def test_a_service_level_of_ones_own(copy: StackFiles, program: Callable[[str], str]) -> None:
    """Any of the three forms, scoped and with odd label values, becomes rules that promtool accepts."""
    _write(
        copy,
        _entry(
            "a", {"ratio": {"total": "bot_api_calls_total", "good": 'bot_api_calls_total{method=~"a\\\\.b"}'}}
        ),
        _entry(
            "b", {"latency": {"histogram": "db_query_duration_seconds", "threshold": 0.5}}, job=["x", "y"]
        ),
        _entry("c", {"uptime": {"gauge": 'up{job="z"}'}}, window="7d"),
    )
    write(copy)
    command = [program("promtool"), "check", "rules", str(copy.service_level_rules)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rules = read_rulebook(copy)
    assert [rule.examined.findings for rule in rules.recordings.values() if rule.examined.findings] == []
    text = copy.service_level_rules.read_text("utf-8")
    assert 'le="0.5"' in text
    assert '{slo="c"}[7d]' in text


def test_no_service_level_is_allowed(copy: StackFiles, program: Callable[[str], str]) -> None:
    """An empty list leaves rules that are valid and never fire."""
    _write(copy)
    write(copy)
    command = [program("promtool"), "check", "rules", str(copy.service_level_rules)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert [
        alert.examined.findings for alert in read_rulebook(copy).alerts.values() if alert.examined.findings
    ] == []


def test_bad_and_good_count_the_same(copy: StackFiles, program: Callable[[str], str]) -> None:
    """A ratio told by its bad events and one told by its good ones burn alike, also without any failure."""
    total = "bot_requests_total"
    _write(
        copy,
        _entry("bad", {"ratio": {"total": total, "bad": f'{total}{{outcome="error"}}'}}, objective=0.98),
        _entry("good", {"ratio": {"total": total, "good": f'{total}{{outcome="ok"}}'}}, objective=0.98),
    )
    write(copy)
    series = [
        {"series": f'{total}{{service="{service}",outcome="{outcome}"}}', "values": f"0+{step}x90"}
        for service, outcome, step in (
            ("half", "ok", 5),
            ("half", "error", 5),
            ("fine", "ok", 1),
            ("lost", "error", 1),
        )
    ]
    burns = {"half": 25, "fine": 0, "lost": 50}
    expected = [
        {"labels": f'service_slo:slo_burn:rate1h{{service="{service}",slo="{slo}"}}', "value": value}
        for service, value in burns.items()
        for slo in ("bad", "good")
    ]
    case = {"expr": "round(service_slo:slo_burn:rate1h, 0.001)", "eval_time": "80m", "exp_samples": expected}
    for sample in expected:
        sample["labels"] = sample["labels"].removeprefix("service_slo:slo_burn:rate1h")
    test = {
        "rule_files": [str(copy.service_level_rules)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [case]}],
    }
    path = copy.root / "test.yml"
    path.write_text(yaml.safe_dump(test), "utf-8")
    done = subprocess.run(
        [program("promtool"), "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_pace_hurries_the_group_too(files: StackFiles, tmp_path) -> None:
    """With short windows the rules are evaluated as often as the others, and their factors stay."""
    target = tmp_path / "slo-rules.yml"
    render_rules(files.service_level_rules, target, Pace(interval="2s", window="20s", hold="2s"))
    document = read_rules(target)
    assert [group["interval"] for group in document["groups"]] == ["2s"]
    alerts = [rule for rule in each_rule(document) if "alert" in rule]
    assert [(rule["for"], rule["keep_firing_for"]) for rule in alerts] == [("2s", "2s")] * 4
    assert "14.4" in alerts[0]["expr"]


def test_the_dashboard_draws_every_burn_alert(files: StackFiles) -> None:
    """Each burn rate is drawn over its long and its short range, against the line where its alert begins."""
    board = json.loads(generated(files)[files.dashboards / "botmetry-slo.json"])
    panels = {panel["title"]: panel for panel in board["panels"]}
    for burn in BURNS:
        panel = panels[f"Burn over {burn.long} and {burn.short}"]
        assert [
            target["expr"].partition("slo_burn:rate")[2].partition("{")[0] for target in panel["targets"]
        ] == [
            burn.long,
            burn.short,
        ]
        assert f"Alert {burn.alert}: > {burn.factor:g}." in panel["description"]
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] == burn.factor


def _entry(name: str, indicator: object, **more: object) -> dict[str, object]:
    return {"name": name, "objective": 0.99, "window": "30d", **more, "indicator": indicator}


def _write(files: StackFiles, *entries: dict[str, object]) -> None:
    document = {"grafana_url": "http://localhost:3000", "service_levels": list(entries)}
    files.service_levels.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")


def _only(files: StackFiles, indicator: object, **more: object) -> ServiceLevel:
    _write(files, _entry("only", indicator, **more))
    levels = read_service_levels(files)
    assert levels.problems == ()
    (level,) = levels.levels
    return level


def _replace(files: StackFiles, old: str, new: str, *, after: str = "") -> int:
    """Replace the first `old` after `after` in slo.yml and return its line."""
    text = files.service_levels.read_text("utf-8")
    start = text.index(old, text.index(after))
    files.service_levels.write_text(text[:start] + new + text[start + len(old) :], "utf-8")
    return text.count("\n", 0, start) + 1
