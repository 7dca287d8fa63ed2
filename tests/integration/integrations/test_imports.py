"""Nothing is imported before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "library"),
    [
        ("aiogram", "aiogram"),
        ("asyncpg", "asyncpg"),
        ("celery", "celery"),
        ("openai", "openai"),
        ("redis", "redis"),
    ],
)
def test_importing_an_integration_imports_no_library(module, library):
    """A program may import every integration; only `instrument` imports the library behind it."""
    program = (
        f"import sys, botmetry.integrations.{module}; "
        f"sys.exit(any(name.partition('.')[0] == {library!r} for name in sys.modules))"
    )
    finished = subprocess.run([sys.executable, "-c", program], check=False, timeout=120)

    assert finished.returncode == 0
