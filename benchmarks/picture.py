"""The claims as a picture: how far below its limit each ratio is."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

HOLDS, BROKEN, SHOWN = "#2a9d8f", "#c8553d", "#8d99ae"


def draw(rows: list[dict], target: Path) -> None:
    """Draw ratios as bars, their spread as a line, their limits as ticks. What has no peer is in the table."""
    rows = [row for row in rows if "ratio" in row]
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(rows) + 1.2))
    for place, row in enumerate(reversed(rows)):
        colour = {True: HOLDS, False: BROKEN, None: SHOWN}[row["holds"]]
        axes.barh(place, row["ratio"], color=colour, height=0.55)
        axes.plot(row["spread"], [place, place], color="#22223b", linewidth=1)
        if row["limit"] is not None:
            axes.plot([row["limit"]] * 2, [place - 0.38, place + 0.38], color="#22223b", linewidth=2)
        axes.text(row["ratio"] + 0.01, place + 0.3, f"{row['ratio']:.3f}", fontsize=8, color="#22223b")
    axes.axvline(1.0, color="#adb5bd", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(rows)), [row["claim"] for row in reversed(rows)], fontsize=8)
    axes.set_xlabel("ours over the peer's (1 = the peer's); thin line: spread, thick tick: limit", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(target, dpi=110)
