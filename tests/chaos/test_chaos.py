"""The short form of ``make chaos``, in the same words: nothing is lost when everything is killed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")
SMALL = {"tasks": 600, "sagas": 40, "kills": 20, "freezes": 2, "crashes": 1, "seconds": 8}


@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_when_everything_is_killed(seed: int):
    """Each task ends, each saga is completed, undone or listed, and what was killed is seen to have been at work."""
    options = [f"--{name}={value}" for name, value in {"seed": seed, **SMALL}.items()]
    done = subprocess.run(
        [sys.executable, RUN, "--json", *options], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["tasks_lost"], report["sagas_wrong"]) == ([], [])
    assert report["tasks"]["added"] == report["tasks"]["completed"] == SMALL["tasks"]
    assert sum(report["sagas"].values()) == SMALL["sagas"]
    assert report["sagas"].keys() == {"COMPLETED", "FAILED", "COMPENSATION_FAILED"}
    assert report["runs_cut_off"] > 0
