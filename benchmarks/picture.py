"""The claims as a picture: how far below its limit each ratio is."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

HOLDS, BROKEN, SHOWN, INK = "#2a9d8f", "#c8553d", "#8d99ae", "#22223b"
LOWEST, HIGHEST = 0.01, 4.0
"""Ends of the logarithmic axis; what is below starts at its edge, and its figure stands beside it."""


def draw(rows: list[dict], target: Path) -> None:
    """Draw ratios as bars, their spread as a line, their limits as ticks. What has no peer is in the table."""
    rows = [row for row in rows if "ratio" in row]
    figure, axes = plt.subplots(figsize=(9, 0.3 * len(rows) + 1.0))
    axes.set(xscale="log", xlim=(LOWEST, HIGHEST), ylim=(len(rows) - 0.4, -0.6))
    for place, row in enumerate(rows):
        colour = {True: HOLDS, False: BROKEN, None: SHOWN}[row["holds"]]
        axes.barh(place, row["ratio"] - LOWEST, left=LOWEST, color=colour, height=0.55)
        axes.plot([max(LOWEST, end) for end in row["spread"]], [place, place], color=INK, linewidth=1)
        figures = f"{row['ratio']:.3g}"
        if row["limit"] is not None:
            axes.plot([row["limit"]] * 2, [place - 0.38, place + 0.38], color=INK, linewidth=2)
            figures += f" {'≤' if row['ratio'] <= row['limit'] else '>'} {row['limit']:.3g}"
        axes.text(HIGHEST * 1.06, place, figures, fontsize=8, color=INK, va="center")
    axes.axvline(1.0, color="#adb5bd", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(rows)), [row["claim"] for row in rows], fontsize=8)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
    axes.tick_params(axis="x", labelsize=8)
    axes.set_xlabel("ours over the peer's (1 = the peer's); thin line: spread, thick tick: limit", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(target, dpi=110)
