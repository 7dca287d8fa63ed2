"""How much a stack has to hold: series, samples, log lines, memory, disk and money, computed from the catalogue.

A series costs the same whoever uses the bot: ids are never labels, so series follow the number of processes, and only
log lines and processes follow the number of users. Every number that is not counted here stands in `Assumptions`,
with its source or its argument in `REASONS`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from botmetry.metrics import CATALOGUE, MetricSpec

__all__ = [
    "KEEPS",
    "PROGRAMS",
    "REASONS",
    "ROLES",
    "VALUES",
    "Assumptions",
    "Need",
    "children",
    "marginal",
    "need",
    "role_series",
    "series",
]

VALUES: Mapping[str, int] = MappingProxyType(
    {
        # What people name: an assistant of the size of midas, rounded up.
        "command": 10,
        "task": 8,
        "model": 2,
        "queue": 3,
        "method": 8,
        "type": 6,
        "error_type": 5,
        "category": 20,
        "source": 3,
        "provider": 3,
        "operation": 8,
        "table": 8,
        "saga": 3,
        "step": 5,
        "schedule": 8,
        "integration": 4,
        "component": 4,
        "metric": 60,
        "reason": 3,
        # Closed sets of the library.
        "outcome": 4,
        "mode": 2,
        "direction": 2,
        "window": 3,
        "level": 4,
        "state": 4,
        "priority": 4,
        "gen_ai_operation_name": 1,
        "gen_ai_provider_name": 1,
        "gen_ai_request_model": 2,
        "generation": 3,
        # One value a process.
        "version": 1,
        "python_version": 1,
        "service_version": 1,
        "implementation": 1,
        "major": 1,
        "minor": 1,
        "patchlevel": 1,
    }
)
"""How many values a label takes in one process."""

_OTHERWISE = 5
"""For a label that is not in `VALUES`: a guess, and the page marks it."""

_OF_A_TARGET = 5
"""What Prometheus adds to each target: up and four series about the scrape."""

# Labels whose values go together: a handler raises one or two kinds of errors, a category comes from one of two
# methods, a table is touched by three statements, a task lives in one queue, an operation fails or it does not, a
# saga that is not over has six states.
_PAIRED: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "bot_errors_total": ("command", 2),
        "transactions_categorized_total": ("category", 2),
        "db_queries_total": ("table", 6),
        "db_query_duration_seconds": ("table", 3),
        "queue_tasks_enqueued_total": ("task", 1),
        "queue_tasks_completed_total": ("task", 4),
        "queue_task_duration_seconds": ("task", 1),
        "redis_operations_total": ("operation", 2),
        "saga_size": ("saga", 6),
        "celery_tasks_total": ("task", 4),
    }
)

ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "bot": frozenset(
            {"bot", "transactions", "queue", "saga", "confirmations", "database", "redis", "runtime"}
        ),
        "worker": frozenset(
            {"ai", "transactions", "queue", "saga", "confirmations", "database", "redis", "celery", "runtime"}
        ),
    }
)
"""Which families a process of each kind fills; a family that is not named here is counted for the worker."""

KEEPS: Mapping[str, tuple[int, int]] = MappingProxyType({"metrics": (35, 400), "logs": (14, 31)})
"""Days that samples and log lines are kept: on one machine, and past it (Mimir and Loki on object storage)."""

PROGRAMS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"number": (5, 17), "series": (2_000, 2_000), "memory": (150e6, 300e6)}
)
"""The stack's own programs on one machine and past it: how many, and what each exposes and needs before any load."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What cannot be counted; `REASONS` says where each number comes from.

    Attributes:
        active_share: Share of the users who write on a given day, 0 to 1.
        commands_a_day: Commands of a user on such a day.
        peak: Busiest minute over the day's mean.
        commands_a_second: What one bot process handles.
        ai_tasks_a_command: AI tasks that one command leads to.
        ai_seconds: Mean duration of an AI task, in seconds.
        concurrency: AI tasks that one worker runs at a time.
        scrape_seconds: Between two samples.
        bytes_a_sample: On disk, compressed, index included.
        bytes_a_series: Of memory, for a series that is being written.
        lines_a_command: Log lines of all processes together.
        bytes_a_line: Before compression.
        compression: Bytes of lines over bytes of chunks.
        memory_usd: A GiB of memory with its share of processor, a month.
        disk_usd: A GB of block storage, a month.
        object_usd: A GB of object storage, a month.
    """

    active_share: float = 0.2
    commands_a_day: float = 6.0
    peak: float = 5.0
    commands_a_second: float = 50.0
    ai_tasks_a_command: float = 1.0
    ai_seconds: float = 2.0
    concurrency: int = 10
    scrape_seconds: float = 15.0
    bytes_a_sample: float = 1.8
    bytes_a_series: float = 8.5e3
    lines_a_command: float = 7.0
    bytes_a_line: float = 410.0
    compression: float = 10.0
    memory_usd: float = 7.5
    disk_usd: float = 0.08
    object_usd: float = 0.023


REASONS: Mapping[str, str] = MappingProxyType(
    {
        "active_share": "our guess: of those who used the bot this month, one in five writes on a given day",
        "commands_a_day": "our guess: a look in the morning, at noon and in the evening, two commands each",
        "peak": "our guess: a day's use falls into ten hours, and its busiest minute has twice their mean",
        "commands_a_second": "a handler takes some 5 ms of processor: a quarter of what that allows",
        "ai_tasks_a_command": "our guess: an import leads to many, a balance to none",
        "ai_seconds": "a model answers in 0.5 to 30 s, a known merchant at once (metrics/buckets.py)",
        "concurrency": "our guess: a worker waits for the model most of the time",
        "scrape_seconds": "monitoring/prometheus.yml",
        "bytes_a_sample": "Prometheus, *Storage*: 1 to 2 bytes a sample; with the index of blocks 1.8 in Robust "
        "Perception's *How much disk space do Prometheus blocks use*",
        "bytes_a_series": "Mimir, *Planning capacity*: 2.5 GB for 300,000 series; Prometheus needs no more",
        "lines_a_command": "a run of `make demo`: 695 lines of bot and workers for 104 commands",
        "bytes_a_line": "the same run: 282,348 bytes in 695 lines",
        "compression": "the same run: gzip, Loki's default, makes them 12 times smaller; chunks are smaller than files",
        "memory_usd": "list price of a general-purpose machine with 2 cores and 8 GiB, about 60 USD a month",
        "disk_usd": "list price of general-purpose block storage at a large provider",
        "object_usd": "list price of standard object storage at a large provider; your own disks cost less",
    }
)
"""Where each number of `Assumptions` comes from."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a number of users needs.

    Attributes:
        users: Who used the bot this month.
        scaled: Past one machine: two Prometheus, Mimir and Loki with three copies of what is being written.
        bots: Bot processes.
        workers: Worker processes.
        series: That are being written, those of the stack's own programs included.
        samples: A second.
        lines: Log lines a day.
        log_bytes: A day, before compression.
        metric_disk: Bytes for samples, for as long as they are kept.
        log_disk: Bytes for lines, for as long as they are kept.
        memory: Bytes of memory of the whole stack.
        usd: A month, at the prices of the assumptions.
    """

    users: int
    scaled: bool
    bots: int
    workers: int
    series: int
    samples: float
    lines: float
    log_bytes: float
    metric_disk: float
    log_disk: float
    memory: float
    usd: float = field(default=0.0)


def children(spec: MetricSpec, values: Mapping[str, int] = VALUES) -> int:
    """Return how many label combinations one process has of a metric."""
    if spec.name in _PAIRED:
        label, others = _PAIRED[spec.name]
        return values[label] * others
    return math.prod(values.get(label, _OTHERWISE) for label in spec.labels)


def series(spec: MetricSpec, values: Mapping[str, int] = VALUES) -> int:
    """Return how many series one process has of a metric: a histogram has one a bucket, +Inf, the sum and the count."""
    each = len(spec.buckets) + 3 if spec.kind == "histogram" else 1
    return each * children(spec, values)


def role_series(
    role: str, catalogue: Iterable[MetricSpec] = tuple(CATALOGUE.values()), values: Mapping[str, int] = VALUES
) -> int:
    """Return how many series a process of a kind has.

    Raises:
        KeyError: There is no such role.
    """
    own = ROLES[role]
    known = frozenset().union(*ROLES.values())
    return sum(
        series(spec, values)
        for spec in catalogue
        if spec.family in own or (role == "worker" and spec.family not in known)
    )


def marginal(role: str, label: str, catalogue: Iterable[MetricSpec] = tuple(CATALOGUE.values())) -> int:
    """Return how many series one more value of `label` (one more command, model, queue) costs a process."""
    catalogue = tuple(catalogue)
    more = {**VALUES, label: VALUES.get(label, _OTHERWISE) + 1}
    return role_series(role, catalogue, more) - role_series(role, catalogue)


def need(
    users: int,
    *,
    scaled: bool,
    assumed: Assumptions = Assumptions(),
    catalogue: Iterable[MetricSpec] = tuple(CATALOGUE.values()),
) -> Need:
    """Return what `users` need, on one machine or past it."""
    catalogue = tuple(catalogue)
    commands = users * assumed.active_share * assumed.commands_a_day
    busiest = commands / 86_400 * assumed.peak
    bots = max(1, math.ceil(busiest / assumed.commands_a_second))
    tasks = busiest * assumed.ai_tasks_a_command * assumed.ai_seconds
    workers = max(2, math.ceil(tasks / assumed.concurrency))
    written = bots * (role_series("bot", catalogue) + _OF_A_TARGET)
    written += workers * (role_series("worker", catalogue) + _OF_A_TARGET)
    written += int(PROGRAMS["number"][scaled] * PROGRAMS["series"][scaled])
    lines = commands * assumed.lines_a_command
    samples = written / assumed.scrape_seconds
    days = {what: kept[scaled] for what, kept in KEEPS.items()}
    found = Need(
        users=users,
        scaled=scaled,
        bots=bots,
        workers=workers,
        series=written,
        samples=samples,
        lines=lines,
        log_bytes=lines * assumed.bytes_a_line,
        metric_disk=samples * 86_400 * days["metrics"] * assumed.bytes_a_sample,
        log_disk=lines * assumed.bytes_a_line * days["logs"] / assumed.compression,
        memory=_memory(written, lines * assumed.bytes_a_line * assumed.peak / 86_400, assumed, scaled=scaled),
    )
    return replace(found, usd=_usd(found, assumed))


def _memory(written: int, bytes_a_second: float, assumed: Assumptions, *, scaled: bool) -> float:
    # Past one machine both Prometheus and three of Mimir's ingesters hold every series, and three of Loki's each line.
    copies_of_series, copies_of_lines = (5, 3) if scaled else (1, 1)
    # Loki cuts a chunk after half an hour without a line or two hours at most, and holds it compressed until then.
    open_chunks = bytes_a_second * 7_200 / assumed.compression
    programs = PROGRAMS["number"][scaled] * PROGRAMS["memory"][scaled]
    return programs + written * assumed.bytes_a_series * copies_of_series + open_chunks * copies_of_lines


def _usd(found: Need, assumed: Assumptions) -> float:
    place = assumed.object_usd if found.scaled else assumed.disk_usd
    stored = (found.metric_disk + found.log_disk) / 1e9 * place
    return stored + found.memory / 2**30 * assumed.memory_usd
