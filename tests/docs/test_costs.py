"""What the README says about cost is what the last measurement printed, and each of its claims held."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = json.loads((ROOT / "benchmarks" / "results" / "latest.json").read_text())["claims"]
QUOTED = re.findall(
    r"^\| ([^|]+) \| [^|]+ \| [^|]+ \| \*\*([0-9.]+)\*\* \|", (ROOT / "README.md").read_text(), re.MULTILINE
)


def test_the_readme_quotes_ratios():
    """There is a table of costs."""
    assert len(QUOTED) >= 8


@pytest.mark.parametrize(("claim", "ratio"), QUOTED)
def test_a_quoted_ratio_was_measured(claim, ratio):
    """The row stands in the results, with this ratio."""
    assert {row["claim"]: row.get("ratio") for row in ROWS}[claim] == float(ratio)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["claim"])
def test_no_committed_measurement_breaks_a_claim(row):
    """A figure beyond its limit is not committed as if it were within."""
    assert row["holds"] is not False
