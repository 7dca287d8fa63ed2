"""The programs that a project watches: names and ports, as people give them and as its files hold them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botmetry.errors import StackError
from botmetry.stack.files import StackFiles

__all__ = [
    "PART_PORTS",
    "Service",
    "Watched",
    "check_name",
    "check_services",
    "parse_ports",
    "parse_service",
    "read_watched",
]

PART_PORTS: Mapping[str, int] = {
    "prometheus": 9090,
    "alertmanager": 9093,
    "loki": 3100,
    "promtail": 9080,
    "alloy": 12345,
    "grafana": 3000,
}
"""Where the parts of the stack listen on this machine, in containers as well as natively."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
# What stands unquoted in YAML and is no text there.
_YAML_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off"})
_RESERVED = frozenset({*PART_PORTS, "stack", "services", "tempo", "redis-exporter", "postgres-exporter"})
_HIGHEST_PORT = 65_535
# How a container reaches this machine; a native Prometheus is on it.
_DOCKER_HOST, _HOST = "host.docker.internal:", "127.0.0.1:"


@dataclass(frozen=True, slots=True)
class Service:
    """A program to watch.

    Attributes:
        name: What it gives to `Telemetry(service=...)`.
        port: Where it serves `/metrics`, 1 to 65535.
    """

    name: str
    port: int


@dataclass(frozen=True, slots=True)
class Watched:
    """A job of a project's `prometheus.yml`, or a file in its `targets/`.

    Attributes:
        job: Its name.
        service: The label `service` of its targets.
        addresses: `host:port` as a program on this machine reaches them.
        limits: What protects Prometheus from it, under Prometheus' own names.
    """

    job: str
    service: str
    addresses: tuple[str, ...]
    limits: Mapping[str, int | str] = field(default_factory=dict)


def parse_service(text: str) -> Service:
    """Read `NAME=PORT`.

    Raises:
        StackError: It is not of that form, or one of the two cannot be used.
    """
    name, equals, port = text.partition("=")
    if not equals:
        raise StackError(f"{text!r} is not NAME=PORT, such as shop-bot=8000")
    check_name(name, "a service's")
    if name in _RESERVED:
        raise StackError(f"{name} is a part of the stack itself; give your service another name")
    return Service(name, _port(port))


def check_name(name: str, whose: str) -> None:
    """Check that a name can be a label's value in rules, dashboards and queries.

    Raises:
        StackError: It cannot; `whose` says in the message what it should have named.
    """
    if not _NAME.fullmatch(name):
        raise StackError(
            f"{name!r} cannot be {whose} name: lower-case letters, digits, - and _, a letter first"
        )
    if name in _YAML_WORDS:
        raise StackError(f"{name!r} cannot be {whose} name: it means something else in YAML")


def parse_ports(texts: Sequence[str]) -> dict[str, int]:
    """Read `PART=PORT` of parts of the stack.

    Raises:
        StackError: One of them is not of that form.
    """
    ports = {}
    for text in texts:
        part, _, port = text.partition("=")
        if part not in PART_PORTS:
            raise StackError(f"{text!r} is not PART=PORT; the parts are {', '.join(PART_PORTS)}")
        ports[part] = _port(port)
    return ports


def check_services(services: Sequence[Service]) -> None:
    """Check that services can be watched side by side.

    Raises:
        StackError: There is none, or two of them, or one and a part of the stack, want the same.
    """
    if not services:
        raise StackError("no service to watch; say --service NAME=PORT, such as --service shop-bot=8000")
    names: set[str] = set()
    ports = {port: part.capitalize() for part, port in PART_PORTS.items()}
    for service in services:
        if service.name in names:
            raise StackError(f"service {service.name} is given twice")
        if service.port in ports:
            raise StackError(f"port {service.port} of {service.name} is the port of {ports[service.port]}")
        names.add(service.name)
        ports[service.port] = service.name


def read_watched(files: StackFiles) -> tuple[Watched, ...]:
    """Return what a project watches besides the stack itself, in the order of its files.

    Raises:
        StackError: A file is missing or broken.
    """
    document = _read(files.prometheus)
    if not isinstance(document, dict):
        raise StackError(f"{files.prometheus}: holds no scrape_configs")
    jobs = [job for job in document.get("scrape_configs") or () if job.get("static_configs")]
    found = [_job(job) for job in jobs if job["job_name"] not in PART_PORTS]
    limits: Mapping[str, int | str] = found[0].limits if found else {}
    for path in sorted((files.monitoring / "targets").glob("*.yml")):
        found += _file(path, limits)
    return tuple(found)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _HIGHEST_PORT):
        raise StackError(f"{text!r} is not a port: a number from 1 to {_HIGHEST_PORT}")
    return int(text)


def _job(job: dict[str, Any]) -> Watched:
    name = str(job["job_name"])
    groups = job["static_configs"]
    labels = {key: value for group in groups for key, value in (group.get("labels") or {}).items()}
    limits = {key: value for key, value in job.items() if key.endswith("_limit")}
    return Watched(name, str(labels.get("service", name)), tuple(_addresses(groups)), limits)


def _file(path: Path, limits: Mapping[str, int | str]) -> Iterator[Watched]:
    for group in _read(path) or ():
        labels = group.get("labels") or {}
        job = str(labels.get("job", path.stem))
        yield Watched(job, str(labels.get("service", job)), tuple(_addresses([group])), limits)


def _addresses(groups: Sequence[dict[str, Any]]) -> Iterator[str]:
    for group in groups:
        yield from (str(target).replace(_DOCKER_HOST, _HOST) for target in group["targets"])


def _read(path: Path) -> Any:
    from botmetry.stack.located import read_yaml  # noqa: PLC0415 - names are checked without the extra `stack`

    return read_yaml(path)
