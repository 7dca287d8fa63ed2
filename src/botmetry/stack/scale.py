"""Prometheus past one machine: the project's own configuration, run twice, kept in Mimir once.

`monitoring/scale/prometheus.yml` is made from `monitoring/prometheus.yml` by a few replacements in its text, so that
jobs, limits, rules and comments are the same on one machine and on several.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from textwrap import indent
from typing import TypeAlias

from botmetry.errors import StackError

_Maker: TypeAlias = Callable[[str], str]

__all__ = ["REPLICAS", "SCALED_PARTS", "render_scale_prometheus"]

REPLICAS = 2
"""Of Prometheus and of Alertmanager."""

SCALED_PARTS: Sequence[tuple[str, int]] = (
    *((f"mimir-{number}", 8080) for number in (1, 2, 3)),
    ("garage", 3903),
    *((f"loki-write-{number}", 3100) for number in (1, 2, 3)),
    *((f"loki-{part}-{number}", 3100) for part in ("read", "backend") for number in (1, 2)),
)
"""The containers of docker-compose.scale.yml that take the place of one Loki, and where each answers /metrics."""

_HEAD = """\
# What both replicas of Prometheus scrape past one machine. Made by `botmetry render` from ../prometheus.yml, which
# explains the rest: change that file, or src/botmetry/stack/scale.py.
#
# Both replicas scrape everything, evaluate every rule and write it all to Mimir, which keeps the samples of one of
# them (its HA tracker goes by `cluster` and `__replica__`) and takes those of the other when the first falls silent.
# Each keeps a month itself: as far as any rule looks back, and something to look at while Mimir is away.
"""

_EXTERNAL = """\
  external_labels:
    cluster: botmetry
    # From the container's environment: prometheus-1 or prometheus-2.
    __replica__: ${REPLICA}
"""

_ALERTING = """\
alerting:
  # Both replicas send every alert to both Alertmanagers, who have to see that it is the same one.
  alert_relabel_configs:
    - regex: __replica__
      action: labeldrop
  alertmanagers:
    - static_configs:
        - targets: ["alertmanager-1:9093", "alertmanager-2:9093"]
"""

_RELABEL = """\
    relabel_configs:
      # loki-write-2 is an instance of the service loki, whose alerts go where Loki's go.
      - source_labels: [__meta_dns_name]
        regex: (.+?)(?:-(?:write|read|backend))?(?:-[0-9]+)?
        target_label: job
      - source_labels: [__meta_dns_name]
        regex: (.+?)(?:-(?:write|read|backend))?(?:-[0-9]+)?
        target_label: service
      - source_labels: [__meta_dns_name]
        target_label: instance
"""

_REMOTE_WRITE = """\
- name: mimir
  url: http://mimir:8080/api/v1/push
  send_exemplars: true
  queue_config:
    # What is not sent waits in the write-ahead log, two hours at most; then this many senders catch up.
    max_shards: 20
    max_backoff: 30s
"""

# What it is, how it is found, what becomes of it.
_CHANGES: Sequence[tuple[str, str, _Maker]] = (
    ("evaluation_interval", r"^  evaluation_interval: .*\n", lambda found: found + _EXTERNAL),
    ("section alerting", r"^alerting:\n(?:^ .*\n)+", lambda _: _ALERTING),
    ("target localhost:9090", r"\[\"localhost:9090\"\]", lambda _: _targets("prometheus", 9090)),
    (
        "target alertmanager:9093",
        r"(?<=targets: )\[\"alertmanager:9093\"\]",
        lambda _: _targets("alertmanager", 9093),
    ),
    (
        "names [loki] and [promtail] in job stack",
        r"^      - \{ names: \[loki\], .*\n      - \{ names: \[promtail\], .*\n",
        lambda _: _discovered(),
    ),
    (
        # It names the service after the container.
        "relabel_configs in job stack",
        r"^  - job_name: stack\n(?:^    .*\n)*?^    relabel_configs:\n(?:^      .*\n)+",
        lambda found: found[: found.index("    relabel_configs:\n")] + _RELABEL,
    ),
)


def render_scale_prometheus(text: str) -> str:
    """Return the configuration of the replicas, made from the text of `monitoring/prometheus.yml`.

    Raises:
        StackError: A place that has to change is not there.
    """
    text = _HEAD + text[_start(text) :].replace("docker-compose.monitoring.yml", "docker-compose.scale.yml")
    for what, pattern, made in _CHANGES:
        text = _replaced(text, what, pattern, made)
    own = re.search(r"^remote_write:\n(?: *#.*\n)*( *)(?=- )", text, re.MULTILINE)
    if own is None:
        return f"{text.rstrip()}\n\nremote_write:\n{indent(_REMOTE_WRITE, '  ')}"
    # Where the project writes somewhere itself, Mimir is one more.
    before = text[: own.end() - len(own[1])]
    return before + indent(_REMOTE_WRITE, own[1]) + text[len(before) :]


def _start(text: str) -> int:
    found = re.search(r"^global:\n", text, re.MULTILINE)
    if found is None:
        raise StackError(_lacking("section global"))
    # The comment at the top of the file speaks of one machine.
    return found.start()


def _replaced(text: str, what: str, pattern: str, made: _Maker) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise StackError(_lacking(what))
    return text[: found.start()] + made(found[0]) + text[found.end() :]


def _lacking(what: str) -> str:
    return (
        f"monitoring/prometheus.yml:1: has no {what}, of which monitoring/scale/prometheus.yml is made; put it back, "
        "or delete monitoring/scale where one machine is enough"
    )


def _targets(name: str, port: int) -> str:
    return "[" + ", ".join(f'"{name}-{number}:{port}"' for number in range(1, REPLICAS + 1)) + "]"


def _discovered() -> str:
    return "".join(f"      - {{ names: [{name}], type: A, port: {port} }}\n" for name, port in SCALED_PARTS)
