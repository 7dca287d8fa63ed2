"""The short form of ``make chaos``, in the same words: nothing is lost when everything is killed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from midas.saga import StepRun

from .ledger import History, Ledger

RUN = Path(__file__).with_name("run.py")
SMALL = {"tasks": 600, "sagas": 40, "kills": 20, "freezes": 2, "crashes": 1, "seconds": 8}


@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_when_everything_is_killed(seed: int):
    """Each task ends, each saga is completed, undone or listed, and what was killed is seen to have been at work."""
    options = [f"--{name}={value}" for name, value in {"seed": seed, **SMALL}.items()]
    done = subprocess.run(
        [sys.executable, RUN, "--json", *options], capture_output=True, text=True, timeout=360, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["tasks_lost"], report["sagas_wrong"]) == ([], [])
    assert report["tasks"]["added"] == report["tasks"]["completed"] == SMALL["tasks"]
    assert sum(report["sagas"].values()) == SMALL["sagas"]
    assert report["sagas"].keys() == {"COMPLETED", "FAILED", "COMPENSATION_FAILED"}
    assert report["runs_cut_off"] > 0


def test_the_other_side_takes_nothing_from_an_owner_that_was_replaced(tmp_path: Path):
    """What a stopped owner does after it wakes is counted, and does not count as done again after it was undone."""
    ledger = Ledger(tmp_path / "ledger")
    first, second = (StepRun("chaos", "saga-1", "reserve", "action", n, n) for n in (1, 2))
    ledger.note_effect(second)
    ledger.note_effect(first)
    history = History.read(ledger)
    assert (len(history.effects["saga-1:reserve:action"]), history.late) == (1, 1)
    ledger.note_effect(second)
    assert History.read(ledger).repeated_effects() == 1
