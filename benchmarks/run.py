"""Runs every claim beside its peers and says which holds: `make bench`.

Each case runs in a fresh process, ours right before its peer, and all of them again and again: a machine that slows
down slows both. The ratio is the median of those of the runs. Results go to results/latest.json, with a picture.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from importlib import import_module, metadata
from operator import truediv
from pathlib import Path
from typing import Any

from claims import CLAIMS, Claim

Row = dict[str, Any]
"""One line of the table; what a claim does not have is left out."""

HERE = Path(__file__).parent
PEERS = (
    "prometheus-client",
    "prometheus-async",
    "structlog",
    "orjson",
    "python-json-logger",
    "opentelemetry-sdk",
    "taskiq-redis",
    "dramatiq",
    "streaq",
)


def main() -> int:
    """Run the claims that match, print the table, write the results; 1 when a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="interleaved runs of each case (default 7)")
    parser.add_argument("--only", default="", help="only claims whose title contains this text")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(_measure(options.case)))
        return 0
    claims = [claim for claim in CLAIMS if options.only in claim.title]
    if not claims:
        parser.error(f"no claim contains {options.only!r}")
    figures = _run(claims, options.runs)
    rows = [_row(claim, figures) for claim in claims]
    _print(rows)
    if not options.only:
        _write(rows, figures, options.runs)
    return int(any(row["holds"] is False for row in rows))


def _measure(case: str) -> float | dict[str, float]:
    module, function = case.split(":")
    return getattr(import_module(f"cases.{module}"), function)()


def _run(claims: list[Claim], runs: int) -> dict[str, list[float]]:
    often = {
        figure.partition(".")[0]: min(claim.runs or runs, runs)
        for claim in claims
        for figure in (claim.ours, claim.peer)
        if figure
    }
    figures: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(runs):
        print(f"run {number + 1} of {runs}", file=sys.stderr, flush=True)
        for case in (case for case, times in often.items() if number < times):
            done = subprocess.run(
                [sys.executable, str(HERE / "run.py"), "--case", case],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                env={**os.environ, "PYTHONHASHSEED": "0"},
            )
            measured = json.loads(done.stdout)
            named = measured if isinstance(measured, dict) else {"": measured}
            for name, figure in named.items():
                figures[f"{case}.{name}".rstrip(".")].append(figure)
    return figures


def _row(claim: Claim, figures: dict[str, list[float]]) -> Row:
    ours = statistics.median(figures[claim.ours])
    row: Row = {"claim": claim.title, "ours": round(ours, 4), "unit": claim.unit, "limit": claim.limit}
    verdicts = []
    if claim.most is not None:
        row["most"] = claim.most
        verdicts.append(ours <= claim.most)
    if claim.peer is not None:
        pairs = sorted(map(truediv, figures[claim.ours], figures[claim.peer]))
        ratio = statistics.median(pairs)
        row |= {"peer": round(statistics.median(figures[claim.peer]), 4), "ratio": float(f"{ratio:.3g}")}
        row["spread"] = [round(pairs[0], 3), round(pairs[-1], 3)]
        if claim.limit is not None:
            verdicts.append(ratio <= claim.limit)
    row["holds"] = all(verdicts) if verdicts else None
    return row


def _print(rows: list[Row]) -> None:
    width = max(len(str(row["claim"])) for row in rows)
    print(f"{'claim':<{width}}  {'ours':>9}  {'peer':>9}  unit  {'ratio':>6}  {'min–max':>13}  {'limit':>8}")
    for row in rows:
        compared = " " * 6 + "  " + " " * 13
        if "ratio" in row:
            low, high = row["spread"]
            compared = f"{row['ratio']:>6.3f}  {low:>6.3f}–{high:<6.3f}"
        limit = "" if row["limit"] is None else f"{row['limit']:.2f}"
        if "most" in row:
            limit = f"{row['most']:g} {row['unit']}"
        print(
            f"{row['claim']:<{width}}  {row['ours']:>9.3f}  {_figure(row):>9}  {row['unit']:<4}  {compared}  "
            f"{limit:>8}  { {None: '', True: 'holds', False: 'DOES NOT HOLD'}[row['holds']] }"
        )


def _figure(row: Row) -> str:
    return f"{row['peer']:.3f}" if "peer" in row else ""


def _write(rows: list[Row], figures: dict[str, list[float]], runs: int) -> None:
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    machine = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "runs": runs,
        "versions": {name: metadata.version(name) for name in PEERS},
    }
    document = {"machine": machine, "claims": rows, "figures": figures}
    (results / "latest.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    from picture import draw

    draw(rows, results / "latest.png")


if __name__ == "__main__":
    sys.exit(main())
