"""Hypothesis without a time limit, a slow machine being no failure; failures and long tests told when they happen."""

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

_LONG_SECONDS = 60.0
_TOLD_CHARACTERS = 4_000


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once what failed or took long: a run that is cut off never comes to its summary."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    if report.failed:
        sys.stderr.write(f"\n{report.nodeid} failed:\n{report.longreprtext[-_TOLD_CHARACTERS:]}\n")
    elif report.duration > _LONG_SECONDS:
        sys.stderr.write(f"\n{report.nodeid}: {report.duration:.0f} s of {report.when}\n")
