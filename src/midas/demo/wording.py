"""Figures in words: the same labels and units on the live screen, in the plain lines and in the final summary."""

from collections.abc import Mapping
from pathlib import Path

from midas.demo.accounting import Account
from midas.demo.figures import Answers, Figures
from midas.demo.options import DemoOptions

__all__ = ["address_lines", "clock", "final_rows", "from_here", "live_rows", "one_line"]

_UNKNOWN = "-"
_MEBIBYTE = 2**20

Rows = list[tuple[str, str]]


def live_rows(figures: Figures) -> Rows:
    """Return label and value of every figure on the one screen."""
    work = figures.work
    return [
        ("requests", f"{work.requests_per_second:.1f} /s   p95 {seconds(work.p95_seconds)}"),
        ("users' answers", _answers(figures.answers)),
        ("AI confidence", f"{_ratio(work.confidence)}   auto-confirmed {_percent(work.auto_confirmed)}"),
        ("queue", f"{_queue(figures)}   {work.tasks} tasks done"),
        ("alerts firing", _alerts(figures)),
        ("memory and CPU", _usage(figures)),
    ]


def one_line(elapsed_seconds: float, figures: Figures) -> str:
    """Return all figures as one line, for an output that is no terminal."""
    work, answers = figures.work, figures.answers
    parts = [
        clock(elapsed_seconds),
        f"{work.requests_per_second:.1f} requests/s",
        f"p95 {seconds(work.p95_seconds)}",
        f"answers p50 {seconds(answers.p50_seconds)} p99 {seconds(answers.p99_seconds)}",
        f"confidence {_ratio(work.confidence)}",
        f"auto-confirmed {_percent(work.auto_confirmed)}",
        f"queue {_queue(figures)}",
        f"alerts: {_alerts(figures)}",
        _usage(figures),
    ]
    return "  ".join(parts)


def final_rows(
    options: DemoOptions,
    figures: Figures,
    account: Account | None,
    notices: Account | None = None,
    *,
    start_seconds: float,
    restarts: int,
) -> Rows:
    """Return label and value of everything that is told at the end."""
    work, usage = figures.work, figures.usage
    rows = [
        ("started in", f"{start_seconds:.1f} s"),
        (
            "requests",
            f"{work.requests}   {work.requests_per_second:.1f} /s   p95 {seconds(work.p95_seconds)}",
        ),
        ("users' answers", _answers(figures.answers)),
        ("AI confidence", f"{_ratio(work.confidence)}   auto-confirmed {_percent(work.auto_confirmed)}"),
        ("AI tasks", _tasks(account, work.tasks, "a worker")),
        ("alerts firing", _alerts(figures)),
        (
            "memory",
            f"{_megabytes(usage.peak_memory_bytes)} at most, {_megabytes(usage.memory_bytes)} at the end",
        ),
        ("CPU", f"{usage.mean_cores:.2f} cores on average"),
    ]
    if notices is not None:
        rows.insert(5, ("notices", _tasks(notices, notices.finished, "a bot")))
    if options.fault:
        rows.insert(3, (f"with {options.fault}", _answers(figures.answers_since_switch)))
    if restarts:
        rows.append(("started again", f"{restarts} program{'s' if restarts > 1 else ''}"))
    return rows


def address_lines(addresses: Mapping[str, str]) -> list[str]:
    """Return the table of addresses, a line each."""
    width = max(map(len, addresses), default=0)
    return [f"  {name:<{width}}  {url}" for name, url in addresses.items()]


def from_here(path: Path, here: Path) -> str:
    """Return a path as one types it in the folder `here`: relative where it lies below."""
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def clock(elapsed_seconds: float) -> str:
    """Return minutes and seconds, such as ``02:05``."""
    minutes, rest = divmod(int(elapsed_seconds), 60)
    return f"{minutes:02}:{rest:02}"


def seconds(value: float | None) -> str:
    """Return a duration with the unit that suits it, three digits at most."""
    if value is None:
        return _UNKNOWN
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _answers(answers: Answers) -> str:
    text = f"p50 {seconds(answers.p50_seconds)}   p99 {seconds(answers.p99_seconds)}   {answers.count} seen"
    return f"{text}, {answers.unanswered} missed" if answers.unanswered else text


def _queue(figures: Figures) -> str:
    size, age = figures.work.queue_size, figures.work.oldest_task_seconds
    if size is None:
        return _UNKNOWN
    return f"{size} waiting" if not size else f"{size} waiting, oldest {seconds(age)}"


def _tasks(account: Account | None, done: int, holder: str) -> str:
    if account is None:
        return f"{done} done; Redis did not answer, so they could not be counted"
    return (
        f"{account.enqueued} enqueued = {account.finished} finished + {account.waiting} waiting"
        f" + {account.running} with {holder}; lost: {account.lost}"
    )


def _alerts(figures: Figures) -> str:
    if figures.alerts is None:
        return f"{_UNKNOWN} (no Prometheus)"
    firing = ", ".join(figures.alerts) or "none"
    return f"{firing}; pending: {', '.join(figures.pending)}" if figures.pending else firing


def _usage(figures: Figures) -> str:
    return f"{_megabytes(figures.usage.memory_bytes)}   {figures.usage.cores:.2f} cores"


def _megabytes(count: int) -> str:
    return f"{count / _MEBIBYTE:.0f} MiB"


def _ratio(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.0%}"
