"""What the pages say about cost is what the last measurement printed, and each of its claims held."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = json.loads((ROOT / "benchmarks" / "results" / "latest.json").read_text())["claims"]
ROW = re.compile(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \| \*\*([0-9.]+)\*\* \|", re.MULTILINE)
PAGES = {"README.md": "", "src/midas/queue/README.md": "queue: "}
"""Page to what its rows leave out at the front of a claim's title."""
QUOTED = [
    (start + claim, float(ratio))
    for page, start in PAGES.items()
    for claim, ratio in ROW.findall((ROOT / page).read_text())
]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_quotes_ratios(page):
    """There is a table of costs."""
    assert len(ROW.findall((ROOT / page).read_text())) >= 8


@pytest.mark.parametrize(("claim", "ratio"), QUOTED)
def test_a_quoted_ratio_was_measured(claim, ratio):
    """The row stands in the results, with this ratio."""
    assert {row["claim"]: row.get("ratio") for row in ROWS}[claim] == ratio


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["claim"])
def test_no_committed_measurement_breaks_a_claim(row):
    """A figure beyond its limit is not committed as if it were within."""
    assert row["holds"] is not False
