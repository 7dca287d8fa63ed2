"""The repository's own files run by the programs of this machine."""

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from botmetry.errors import StackError
from botmetry.stack import native
from botmetry.stack.files import StackFiles, find_stack
from botmetry.stack.native import NativeStack, alertmanager_command, prometheus_command, render_native
from botmetry.stack.pace import Pace

from .ports import free_ports
from .waiting import wait_for


def test_only_targets_ports_and_folders_differ(files: StackFiles, tmp_path: Path) -> None:
    """A job keeps its limits and its service, another becomes one of its own, a job without targets is left out."""
    stack = render_native(
        tmp_path, targets={"midas-bot": ["127.0.0.1:18000"], "shop-bot": ["127.0.0.1:18001"]}, files=files
    )
    rendered, source = (
        yaml.safe_load(path.read_text("utf-8")) for path in (stack.prometheus_config, files.prometheus)
    )
    jobs = {job["job_name"]: job for job in rendered["scrape_configs"]}
    assert list(jobs) == ["prometheus", "alertmanager", "midas-bot", "shop-bot"]
    before = next(job for job in source["scrape_configs"] if job["job_name"] == "midas-bot")
    assert jobs["midas-bot"] == before | {
        "static_configs": [{"targets": ["127.0.0.1:18000"], "labels": {"service": "midas-bot"}}]
    }
    assert jobs["shop-bot"]["static_configs"][0]["labels"] == {"service": "shop-bot"}
    assert rendered["global"] == source["global"]
    assert rendered["rule_files"] == [str(path) for path in files.rules]


def test_a_pace_shortens_scraping_and_grouping(files: StackFiles, tmp_path: Path) -> None:
    """With a pace, scrapes, evaluations and notifications hurry; repeats do not."""
    stack = render_native(
        tmp_path, targets={}, pace=Pace(interval="2s", window="20s", hold="1s"), files=files
    )
    prometheus, alertmanager = (
        yaml.safe_load(path.read_text("utf-8"))
        for path in (stack.prometheus_config, stack.alertmanager_config)
    )
    assert set(prometheus["global"].values()) == {"2s"}
    assert alertmanager["route"]["group_wait"] == alertmanager["route"]["group_interval"] == "1s"
    assert alertmanager["route"]["repeat_interval"] == "12h"
    assert all(path.parent == tmp_path for path in stack.rules)


def test_a_missing_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the program on the PATH the command is an error with the package's name."""
    monkeypatch.setattr(native.shutil, "which", lambda _: None)
    with pytest.raises(StackError, match="apt install prometheus-alertmanager"):
        alertmanager_command(tmp_path / "c.yml", tmp_path, 9093)


def test_a_folder_without_a_stack_falls_back_on_this_project(tmp_path: Path, files: StackFiles) -> None:
    """Called from anywhere, the source tree's own stack is found."""
    assert find_stack(tmp_path) == files


def test_prometheus_runs_it(files: StackFiles, tmp_path: Path, program: Callable[[str], str]) -> None:
    """A real Prometheus loads the rendered files, evaluates the rules, serves runbooks, understands every panel."""
    program("prometheus")
    port, nobody = free_ports(2)
    stack = render_native(
        tmp_path,
        targets={"midas-bot": [f"127.0.0.1:{nobody}"], "alertmanager": []},
        prometheus_port=port,
        pace=Pace(interval="1s"),
        files=files,
    )
    with _running_prometheus(stack, tmp_path, port, files):
        rules = wait_for(lambda: _evaluated(port))
        assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}
        (alert,) = wait_for(lambda: _alerts(port, "TargetDown", "midas-bot"))
        with urllib.request.urlopen(alert["annotations"]["runbook_url"], timeout=30) as page:
            assert page.read().decode().startswith("# TargetDown")
        for query in _panel_queries(files):
            answer = _get(port, "/api/v1/query?" + urllib.parse.urlencode({"query": query}))
            assert answer["status"] == "success", query


def _panel_queries(files: StackFiles) -> list[str]:
    queries = []
    for path in files.dashboards.glob("*.json"):
        text = re.sub(r"\$(?:__rate_interval|__auto)", "1m", path.read_text("utf-8"))
        for panel in json.loads(text.replace("$", ""))["panels"]:
            for inner in (panel, *(panel.get("panels") or ())):
                targets = inner.get("targets") or ()
                queries += [
                    target["expr"] for target in targets if target["datasource"]["type"] == "prometheus"
                ]
    return queries


@contextmanager
def _running_prometheus(stack: NativeStack, folder: Path, port: int, files: StackFiles) -> Iterator[None]:
    command = prometheus_command(stack.prometheus_config, folder / "data", port, files=files)
    with (folder / "output.log").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def _evaluated(port: int) -> list[dict[str, Any]] | None:
    groups = _get(port, "/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None


def _alerts(port: int, name: str, service: str) -> list[dict[str, Any]]:
    return [
        alert
        for alert in _get(port, "/api/v1/alerts")["data"]["alerts"]
        if (alert["labels"]["alertname"], alert["labels"].get("service")) == (name, service)
    ]


def _get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return json.load(answer)


def test_the_example_in_the_readme_runs(
    files: StackFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What monitoring/README.md tells supervisors to write prints two command lines."""
    text = (files.monitoring / "README.md").read_text("utf-8")
    (example,) = (
        found for found in re.findall(r"```python\n(.+?)```", text, re.DOTALL) if "render_native" in found
    )
    monkeypatch.chdir(files.root)
    exec(compile(example.replace("/var/lib/watch", str(tmp_path)), "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert [
        f"--config.file={tmp_path / name}" in line
        for name, line in zip(("prometheus.yml", "alertmanager.yml"), printed, strict=True)
    ] == [True, True]
