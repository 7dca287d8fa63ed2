"""What the person sees: progress, the table of addresses, one living screen or plain lines, the summary."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from midas.demo.figures import Figures
from midas.demo.wording import address_lines, clock, live_rows, one_line

__all__ = ["Screen"]

_LINE_SECONDS = 10.0  # between two plain lines


class Screen:
    """Prints to a terminal as a living screen, else as plain lines; a context manager for the living part.

    Args:
        console: Where to; a terminal or not.
        duration_seconds: When the demo ends by itself, None for never.
    """

    def __init__(self, console: Console, duration_seconds: float | None) -> None:
        self._console = console
        self._duration = duration_seconds
        self._live: Live | None = None
        self._began = time.monotonic()
        self._line_at = 0.0

    def say(self, line: str) -> None:
        """Print one line; above the living screen when there is one."""
        self._console.print(Text(line), soft_wrap=True)

    def complain(self, line: str) -> None:
        """Print one line to the error output."""
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - the command's error line

    def show_addresses(self, addresses: Mapping[str, str], logs: str) -> None:
        """Print where to look."""
        lines = ["", *address_lines(addresses), f"  logs: {logs}", ""]
        self.say("\n".join(lines))

    def show(self, figures: Figures, faults: tuple[str, ...]) -> None:
        """Show the present figures: redrawn on a terminal, else a line every ten seconds."""
        elapsed = time.monotonic() - self._began
        if self._live is not None:
            self._live.update(self._panel(elapsed, figures, faults), refresh=True)
        elif elapsed - self._line_at >= _LINE_SECONDS:
            self._line_at = elapsed
            self.say(one_line(elapsed, figures) + (f"  fault: {', '.join(faults)}" if faults else ""))

    def show_summary(self, title: str, rows: list[tuple[str, str]]) -> None:
        """Print the final summary."""
        width = max(len(label) for label, _ in rows)
        self.say("\n".join(["", title, *(f"  {label:<{width}}  {value}" for label, value in rows)]))

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _panel(self, elapsed: float, figures: Figures, faults: tuple[str, ...]) -> Panel:
        table = Table.grid(padding=(0, 2))
        for label, value in live_rows(figures):
            style = "bold red" if label == "alerts firing" and figures.alerts else "bold"
            table.add_row(Text(label), Text(value, style=style))
        of = f" of {clock(self._duration)}" if self._duration else ""
        trouble = [Text(f"fault: {', '.join(faults)}", style="yellow")] if faults else []
        return Panel(
            Group(table, *trouble), title=f"midas · {clock(elapsed)}{of} · Ctrl-C ends it", expand=False
        )
