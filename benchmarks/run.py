"""Runs every claim beside its peers and says which holds: `make bench`.

Each case runs in a fresh process. The runs are interleaved (all cases, then all again), so a machine that
slows down slows all of them; the ratio is that of the medians. Results go to results/latest.json, with a picture.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

from claims import CLAIMS, Claim

HERE = Path(__file__).parent
PEERS = (
    "prometheus-client",
    "prometheus-async",
    "structlog",
    "orjson",
    "python-json-logger",
    "opentelemetry-sdk",
)


def main() -> int:
    """Run the claims that match, print the table, write the results; 1 when a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="interleaved runs of each case (default 7)")
    parser.add_argument("--only", default="", help="only claims whose title contains this text")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(_measure(options.case))
        return 0
    claims = [claim for claim in CLAIMS if options.only in claim.title]
    if not claims:
        parser.error(f"no claim contains {options.only!r}")
    figures = _run(sorted({case for claim in claims for case in (claim.ours, claim.peer)}), options.runs)
    rows = [_row(claim, figures) for claim in claims]
    _print(rows)
    if not options.only:
        _write(rows, figures, options.runs)
    return int(any(row["holds"] is False for row in rows))


def _measure(case: str) -> float:
    module, function = case.split(":")
    return float(getattr(import_module(f"cases.{module}"), function)())


def _run(cases: list[str], runs: int) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {case: [] for case in cases}
    for number in range(runs):
        print(f"run {number + 1} of {runs}", file=sys.stderr, flush=True)
        for case in cases:
            done = subprocess.run(
                [sys.executable, str(HERE / "run.py"), "--case", case],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                env={**os.environ, "PYTHONHASHSEED": "0"},
            )
            figures[case].append(float(done.stdout))
    return figures


def _row(claim: Claim, figures: dict[str, list[float]]) -> dict[str, object]:
    ours, peer = figures[claim.ours], figures[claim.peer]
    ratio = statistics.median(ours) / statistics.median(peer)
    pairs = sorted(one / other for one, other in zip(ours, peer, strict=True))
    return {
        "claim": claim.title,
        "ours": round(statistics.median(ours), 4),
        "peer": round(statistics.median(peer), 4),
        "unit": claim.unit,
        "ratio": round(ratio, 3),
        "spread": [round(pairs[0], 3), round(pairs[-1], 3)],
        "limit": claim.limit,
        "holds": None if claim.limit is None else ratio <= claim.limit,
    }


def _print(rows: list[dict[str, object]]) -> None:
    width = max(len(str(row["claim"])) for row in rows)
    print(f"{'claim':<{width}}  {'ours':>9}  {'peer':>9}  unit  {'ratio':>6}  {'min–max':>13}  limit")
    for row in rows:
        low, high = row["spread"]  # type: ignore[misc]
        verdict = {None: "", True: "holds", False: "DOES NOT HOLD"}[row["holds"]]  # type: ignore[index]
        limit = "" if row["limit"] is None else f"{row['limit']:.2f}"
        print(
            f"{row['claim']:<{width}}  {row['ours']:>9.3f}  {row['peer']:>9.3f}  {row['unit']:<4}  "
            f"{row['ratio']:>6.3f}  {low:>6.3f}–{high:<6.3f}  {limit:>5}  {verdict}"
        )


def _write(rows: list[dict[str, object]], figures: dict[str, list[float]], runs: int) -> None:
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
