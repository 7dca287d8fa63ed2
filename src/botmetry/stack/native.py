"""The stack without containers: the repository's own files with targets, ports, folders and secrets put in.

A supervisor calls `render_native`, then starts `prometheus_command` and `alertmanager_command` as it starts every
other process.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from botmetry.errors import StackError
from botmetry.stack.alertmanager import read_secrets, render_alertmanager
from botmetry.stack.files import StackFiles, find_stack
from botmetry.stack.located import read_yaml
from botmetry.stack.pace import REAL, Pace
from botmetry.stack.rules import render_rules

__all__ = ["NativeStack", "alertmanager_command", "find_program", "prometheus_command", "render_native"]

Document = dict[str, Any]

_HOST = "127.0.0.1"
# Debian calls it prometheus-alertmanager, upstream's archive alertmanager.
_PROGRAMS = {"prometheus": ("prometheus",), "alertmanager": ("prometheus-alertmanager", "alertmanager")}
_DISCOVERIES = ("static_configs", "file_sd_configs", "dns_sd_configs", "relabel_configs")


@dataclass(frozen=True, slots=True)
class NativeStack:
    """What was rendered.

    Attributes:
        prometheus_config: For `prometheus_command`.
        alertmanager_config: For `alertmanager_command`; holds secrets, readable by its owner only.
        rules: The rule files that Prometheus reads.
    """

    prometheus_config: Path
    alertmanager_config: Path
    rules: tuple[Path, ...]


def render_native(
    folder: Path,
    *,
    targets: Mapping[str, Sequence[str]],
    services: Mapping[str, str] | None = None,
    prometheus_port: int = 9090,
    alertmanager_port: int = 9093,
    webhook_url: str | None = None,
    secrets: Path | None = None,
    pace: Pace = REAL,
    files: StackFiles | None = None,
) -> NativeStack:
    """Write `prometheus.yml` and `alertmanager.yml` into `folder`, which is made.

    Args:
        folder: A data folder; also holds the rules when `pace` shortens them.
        targets: Job name to `host:port`; a job of the repository's file keeps its limits and labels, any other
            becomes a job whose `service` is its name, and jobs without targets are left out.
        services: Job name to the label `service` of its targets, where it is not as above.
        prometheus_port: Where Prometheus will listen, on 127.0.0.1.
        alertmanager_port: Where Alertmanager will listen, on 127.0.0.1.
        webhook_url: Receives every notification, Watchdog included.
        secrets: A folder of secrets files as in `monitoring/secrets`; receivers without theirs are left out.
        pace: Shorter windows and waits, for tests.
        files: The project's files; found around the working folder when not given.

    Raises:
        StackError: A file of the stack is missing or broken, or a secret has the wrong form.
    """
    files = files or find_stack()
    folder.mkdir(parents=True, exist_ok=True)
    rules = _rules(folder, files, pace)
    places = {"prometheus": [f"{_HOST}:{prometheus_port}"], "alertmanager": [f"{_HOST}:{alertmanager_port}"]}
    prometheus = _prometheus(files.prometheus, {**places, **targets}, rules, pace)
    _name_services(prometheus, services or {})
    alertmanager = render_alertmanager(
        files.alertmanager, secrets=read_secrets(secrets), webhook_url=webhook_url, pace=pace
    )
    stack = NativeStack(folder / "prometheus.yml", folder / "alertmanager.yml", rules)
    _write(stack.prometheus_config, prometheus, files.prometheus)
    _write(stack.alertmanager_config, alertmanager, files.alertmanager)
    return stack


def find_program(name: str) -> Path | None:
    """Return the program of that name ("prometheus", "alertmanager") on the PATH, or None."""
    found = (shutil.which(program) for program in _PROGRAMS[name])
    return next((Path(path) for path in found if path), None)


def prometheus_command(
    config: Path, data: Path, port: int, *, retention: str = "35d", files: StackFiles | None = None
) -> list[str]:
    """Return the command line that runs Prometheus on 127.0.0.1 with exemplars, serving the runbooks at /user/.

    Raises:
        StackError: Prometheus is not on the PATH, or there is no stack to take the runbooks from.
    """
    files = files or find_stack()
    return [
        _program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        f"--storage.tsdb.retention.time={retention}",
        f"--web.listen-address={_HOST}:{port}",
        f"--web.external-url=http://{_HOST}:{port}",
        f"--web.user-assets={files.runbooks}",
        "--enable-feature=exemplar-storage",
    ]


def alertmanager_command(config: Path, data: Path, port: int) -> list[str]:
    """Return the command line that runs Alertmanager on 127.0.0.1, alone (no cluster port).

    Raises:
        StackError: Alertmanager is not on the PATH.
    """
    return [
        _program("alertmanager"),
        f"--config.file={config}",
        f"--storage.path={data}",
        f"--web.listen-address={_HOST}:{port}",
        f"--web.external-url=http://{_HOST}:{port}",
        "--cluster.listen-address=",
    ]


def _program(name: str) -> str:
    path = find_program(name)
    if path is None:
        names = _PROGRAMS[name]
        raise StackError(f"{' or '.join(names)} is not on the PATH; on Debian: apt install {names[0]}")
    return str(path)


def _rules(folder: Path, files: StackFiles, pace: Pace) -> tuple[Path, ...]:
    if pace == REAL:
        return files.rules
    rendered = []
    for source in files.rules:
        rendered.append(folder / source.name)
        render_rules(source, rendered[-1], pace)
    return tuple(rendered)


def _prometheus(
    source: Path, targets: Mapping[str, Sequence[str]], rules: tuple[Path, ...], pace: Pace
) -> Document:
    document: Document = read_yaml(source)
    if pace.interval is not None:
        document["global"] |= dict.fromkeys(
            ("scrape_interval", "evaluation_interval", "scrape_timeout"), pace.interval
        )
    document["rule_files"] = [str(path) for path in rules]
    document["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": list(targets["alertmanager"])}]}]
    jobs = {job["job_name"]: job for job in document["scrape_configs"]}
    document["scrape_configs"] = [
        _job(jobs.get(name, {"job_name": name}), addresses) for name, addresses in targets.items()
    ]
    return document


def _name_services(document: Document, services: Mapping[str, str]) -> None:
    for job in document["scrape_configs"]:
        for group in job["static_configs"]:
            group["labels"]["service"] = services.get(job["job_name"], group["labels"]["service"])


def _job(job: Document, addresses: Sequence[str]) -> Document:
    labels = {"service": job["job_name"]}
    for group in job.get("static_configs", ()):
        labels |= group.get("labels", {})
    kept = {key: value for key, value in job.items() if key not in _DISCOVERIES}
    return {**kept, "static_configs": [{"targets": list(addresses), "labels": labels}]}


def _write(path: Path, document: Document, source: Path) -> None:
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(f"# Rendered from {source}; edit that file.\n{text}")
