"""Service levels: what users are promised, read from one small file and compared with the catalogue.

An indicator is two rates: of everything that counts, and of what of it went wrong. Three forms lead to them: a ratio
of counted events, a latency (a histogram and the bound that is still good), and the share of time in which a gauge
that is 1 or 0 is 1. Rules are rendered from what is read here by `botmetry.stack.slo_rules`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import promql_parser as promql

from botmetry.metrics.format import bound_text
from botmetry.stack.checks.problem import Problem
from botmetry.stack.checks.promql import examine
from botmetry.stack.files import StackFiles
from botmetry.stack.located import Located, read_located
from botmetry.stack.pace import is_duration, seconds
from botmetry.stack.series import catalogue_series

__all__ = ["FASTEST", "LONGEST", "ServiceLevel", "ServiceLevels", "read_service_levels"]

FASTEST = 14.4
"""The highest burn rate of an alert: 2 % of a 30-day budget in one hour (SRE workbook, chapter 5)."""

LONGEST = "3d"
"""The longest range that an alert looks at."""

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_REQUIRED = ("name", "objective", "window", "indicator")
_OPTIONAL = ("service", "job", "minimum_rate")
_FORMS = {"ratio": ("total", "bad", "good"), "latency": ("histogram", "threshold"), "uptime": ("gauge",)}
_OPERATORS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
_RETENTION = re.compile(r"--storage\.tsdb\.retention\.time=(\w+)")


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """One promise.

    Attributes:
        name: The label `slo` of everything that is recorded about it.
        objective: The share that has to be good, above 0 and below 1.
        window: The time over which it is promised, in Prometheus' notation.
        minimum_rate: Events a second, over an alert's long range, below which no alert fires.
        total: PromQL, by service: events a second.
        bad: PromQL, by service: those that went wrong, 0 where none did.
    """

    name: str
    objective: float
    window: str
    minimum_rate: float
    total: str
    bad: str


@dataclass(frozen=True, slots=True)
class ServiceLevels:
    """The file as it was read.

    Attributes:
        grafana_url: Where people reach Grafana, without a slash at the end.
        levels: Those that are right, in the order of the file.
        problems: What is wrong with the others, by line.
    """

    grafana_url: str
    levels: tuple[ServiceLevel, ...]
    problems: tuple[Problem, ...]


def read_service_levels(files: StackFiles) -> ServiceLevels:
    """Read `monitoring/slo.yml`.

    Raises:
        StackError: It is missing or cannot be parsed; faults of single entries are in `problems`.
    """
    document = read_located(files.service_levels)
    problems = [*_document_problems(document)]
    url = document.get("grafana_url")
    kept = _retention(files)
    levels: dict[str, ServiceLevel] = {}
    for entry in document.each("service_levels"):
        reading = _Entry(entry, kept)
        level = reading.level()
        if level is not None and level.name in levels:
            reading.wrong(entry.get("name") or entry, f"there is another service level {level.name}")
        elif level is not None:
            levels[level.name] = level
        problems += reading.problems
    return ServiceLevels(url.text.rstrip("/") if url else "", tuple(levels.values()), tuple(problems))


def _document_problems(document: Located) -> list[Problem]:
    problems = []
    url, entries = document.get("grafana_url"), document.get("service_levels")
    if url is None or not re.fullmatch(r"https?://[^\s?#]+", url.text):
        line = (url or document).line
        problems.append(
            Problem(document.path, line, "grafana_url is not an address such as http://localhost:3000")
        )
    if entries is None or not isinstance(entries.value, list):
        problems.append(Problem(document.path, (entries or document).line, "has no list `service_levels:`"))
    for key, value in document.items():
        if key not in {"grafana_url", "service_levels"}:
            problems.append(Problem(document.path, value.line, f"{key} is no key of this file"))
    return problems


def _retention(files: StackFiles) -> tuple[str, str] | None:
    """Return how long Prometheus keeps its samples, and where that is said; None when the project does not say it."""
    try:
        lines = files.compose.read_text("utf-8").splitlines()
    except OSError:
        return None
    for number, line in enumerate(lines, start=1):
        found = _RETENTION.search(line)
        if found is not None:
            return found[1], f"{files.relative(files.compose)}:{number}"
    return None


class _Entry:
    """One entry of the list, read key by key; what is wrong is collected, so that all of it is told at once."""

    def __init__(self, entry: Located, kept: tuple[str, str] | None) -> None:
        self.problems: list[Problem] = []
        self._entry = entry
        self._kept = kept
        self._series = catalogue_series()
        self._chosen: list[str] = []

    def wrong(self, where: Located, message: str, line: int | None = None) -> None:
        """Note a fault, in words that begin with the name of the entry."""
        name = self._entry.get("name")
        prefix = f"{name.text}: " if name is not None else ""
        self.problems.append(Problem(where.path, line or where.line, prefix + message))

    def level(self) -> ServiceLevel | None:
        """Return the entry as an object, or None when something is wrong with it."""
        entry = self._entry
        if not self._has_keys(entry, _REQUIRED, _OPTIONAL, "a service level"):
            return None
        name = entry.get("name") or entry
        if not _NAME.fullmatch(name.text):
            self.wrong(name, "a name is lower-case words joined by -, such as bot-answers-fast")
        self._chosen = self._scope()
        objective, window, minimum = self._objective(), self._window(), self._minimum()
        total, bad = self._indicator()
        if self.problems:
            return None
        return ServiceLevel(name.text, objective, window, minimum, total, bad)

    def _has_keys(
        self, where: Located, required: tuple[str, ...], optional: tuple[str, ...], what: str
    ) -> bool:
        there = dict(where.items())
        for key, value in there.items():
            if key not in {*required, *optional}:
                self.wrong(value, f"{key} is no key of {what}; it has {', '.join((*required, *optional))}")
        missing = [key for key in required if key not in there]
        if missing:
            self.wrong(where, f"{what} needs {' and '.join(missing)}")
        return not missing

    def _objective(self) -> float:
        where = self._entry.get("objective") or self._entry
        objective = _number(where)
        if objective is None or not 0 < objective < 1:
            self.wrong(where, f"objective {where.text} is not between 0 and 1, such as 0.99")
        elif 1 / (1 - objective) <= FASTEST:
            # Even if everything fails the burn rate is 1 / (1 - objective): the page could never fire.
            self.wrong(
                where,
                f"objective {where.text} leaves so much budget that nothing burns it {FASTEST:g} times too fast; "
                f"it has to be above {1 - 1 / FASTEST:.3f}",
            )
        return objective or 0.0

    def _window(self) -> str:
        where = self._entry.get("window") or self._entry
        if not is_duration(where.text):
            self.wrong(where, f"window {where.text} is not a duration such as 30d")
        elif seconds(where.text) < seconds(LONGEST):
            self.wrong(where, f"window {where.text} is shorter than the {LONGEST} that its alerts look at")
        elif self._kept is not None and seconds(where.text) > seconds(self._kept[0]):
            self.wrong(
                where,
                f"window {where.text} is longer than Prometheus keeps ({self._kept[0]}, {self._kept[1]})",
            )
        return where.text

    def _minimum(self) -> float:
        where = self._entry.get("minimum_rate")
        if where is None:
            return 0.0
        minimum = _number(where)
        if minimum is None or minimum < 0:
            self.wrong(where, f"minimum_rate {where.text} is not a number of events a second, 0 or more")
        return minimum or 0.0

    def _scope(self) -> list[str]:
        matchers = []
        for label in ("service", "job"):
            where = self._entry.get(label)
            if where is None:
                continue
            names = [part.text for part in where.each()] or [where.text]
            if not all(re.fullmatch(r"[\w.-]+", name) for name in names):
                self.wrong(where, f"{label} is a name, or a list of names")
            operator = "=" if len(names) == 1 else "=~"
            value = "|".join(names if len(names) == 1 else (name.replace(".", r"\\.") for name in names))
            matchers.append(f'{label}{operator}"{value}"')
        return matchers

    def _indicator(self) -> tuple[str, str]:
        where = self._entry.get("indicator") or self._entry
        forms = [form for form in where.items() if form[0] in _FORMS]
        if len(forms) != 1 or len(dict(where.items())) != 1:
            self.wrong(where, f"an indicator is one of {', '.join(_FORMS)}")
            return "", ""
        form, parts = forms[0]
        read = {"ratio": self._ratio, "latency": self._latency, "uptime": self._uptime}[form]
        return read(parts)

    def _ratio(self, parts: Located) -> tuple[str, str]:
        if not self._has_keys(parts, ("total",), ("bad", "good"), "a ratio"):
            return "", ""
        total, bad, good = (parts.get(key) for key in ("total", "bad", "good"))
        part = bad or good
        if total is None or part is None or (bad is not None and good is not None):
            self.wrong(parts, "a ratio needs either bad or good beside total")
            return "", ""
        whole, share = (_rate(self._selector(where, "rate")) for where in (total, part))
        # Nothing that went wrong yet is 0, not unknown: a series is born with its first event.
        share = f"{share}\nor {whole} * 0"
        return whole, share if bad is not None else f"clamp_min({whole}\n- ({share}), 0)"

    def _latency(self, parts: Located) -> tuple[str, str]:
        if not self._has_keys(parts, ("histogram", "threshold"), (), "a latency"):
            return "", ""
        where, threshold = parts.get("histogram") or parts, parts.get("threshold") or parts
        tree = self._parsed(where)
        if tree is None:
            return "", ""
        buckets = self._series.get(f"{tree.name}_bucket")
        if buckets is None:
            self.wrong(where, f"{tree.name} is no histogram of the catalogue", where.line_of(tree.name))
            return "", ""
        bound = _number(threshold)
        if bound not in buckets.bounds:
            bounds = ", ".join(f"{value:g}" for value in buckets.bounds)
            self.wrong(threshold, f"threshold {threshold.text} is no bucket bound of {tree.name}: {bounds}")
            return "", ""
        self._compare(where, self._written(tree, suffix="_count"), "rate")
        total = _rate(self._written(tree, suffix="_count"))
        fast = _rate(self._written(tree, f'le="{bound_text(bound)}"', suffix="_bucket"))
        # rate() extrapolates each series by itself, so that a bucket can seem to grow faster than its count.
        return total, f"clamp_min({total}\n- {fast}, 0)"

    def _uptime(self, parts: Located) -> tuple[str, str]:
        if not self._has_keys(parts, ("gauge",), (), "an uptime"):
            return "", ""
        mean = f"avg_over_time({self._selector(parts.get('gauge') or parts, 'avg_over_time')}[5m])"
        # Here an event is a second of a target's life: as many a second as there are targets.
        return f"count by (service) ({mean})", f"sum by (service) (1 - {mean})"

    def _selector(self, where: Located, function: str) -> str:
        tree = self._parsed(where)
        if tree is None:
            return ""
        self._compare(where, self._written(tree), function)
        return self._written(tree)

    def _parsed(self, where: Located) -> Any:
        """Return the selector that stands there, or None when it is something else."""
        try:
            tree: Any = promql.parse(where.text)
        except ValueError as error:
            self.wrong(where, f"{where.text} is not PromQL: {error}")
            return None
        if not isinstance(tree, promql.VectorSelector) or tree.name is None or tree.offset is not None:
            self.wrong(
                where, f'{where.text} is not a metric with what to choose, such as metric{{outcome="ok"}}'
            )
            return None
        return tree

    def _compare(self, where: Located, selector: str, function: str) -> None:
        for finding in examine(f"{function}({selector}[5m])", self._series).findings:
            self.wrong(where, finding.message, where.line_of(finding.token))

    def _written(self, tree: Any, *more: str, suffix: str = "") -> str:
        matchers = [f'{m.name}{_operator(m)}"{_escaped(m.value)}"' for m in tree.matchers.matchers]
        chosen = ",".join((*matchers, *self._chosen, *more))
        return f"{tree.name}{suffix}{{{chosen}}}" if chosen else f"{tree.name}{suffix}"


def _rate(selector: str) -> str:
    return f"sum by (service) (rate({selector}[5m]))"


def _operator(matcher: Any) -> str:
    return _OPERATORS[str(matcher.op).rpartition(".")[2]]


def _number(where: Located) -> float | None:
    try:
        return float(where.text)
    except ValueError:
        return None


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
