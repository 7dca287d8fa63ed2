"""A wrong call of `midas` is one clear line and exit code 2, never a traceback."""

import socket
import subprocess
import sys

import pytest


def midas(*arguments: str, folder, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "midas.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **environ},
        timeout=120,
    )


def assert_one_line(called: subprocess.CompletedProcess[str], *words: str) -> None:
    assert called.returncode == 2, called.stderr
    assert called.stdout == ""
    assert len(called.stderr.splitlines()) == 1, called.stderr
    for word in words:
        assert word in called.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("COMMAND",)),
        (("dance",), ("dance", "demo")),
        (("demo", "--colour", "red"), ("--colour",)),
        (("demo", "--fault", "fire"), ("fire", "slow-ai")),
        (("demo", "--duration", "long"), ("DURATION", "long")),
        (("import",), ("FILE",)),
        (("import", "nowhere.ofx"), ("nowhere.ofx", "no such file")),
        (("import", "."), (".", "directory")),
        (("import", "nowhere.ofx", "--user", "me"), ("--user", "me")),
        (("worker", "--metrics-port", "http"), ("--metrics-port", "http")),
        (("migrate",), ("DATABASE_URL",)),
        (("bot",), ("TELEGRAM_BOT_TOKEN",)),
        (("worker",), ("REDIS_URL",)),
        (("saga",), ("ACTION",)),
        (("saga", "ls"), ("REDIS_URL",)),
        (("saga", "ls", "--state", "HAPPY"), ("HAPPY", "SUSPENDED")),
        (("saga", "show"), ("ID",)),
        (("queue", "dance"), ("dance", "replay")),
        (("queue", "ls"), ("REDIS_URL",)),
        (("queue", "show", "ai", "--limit", "0"), ("--limit", "1 to 10000")),
    ],
)
def test_a_wrong_call_is_one_line(arguments, words, tmp_path):
    """The line names what was wrong."""
    assert_one_line(midas(*arguments, folder=tmp_path), *words)


def test_a_broken_statement_is_told_before_anything_is_connected_to(tmp_path):
    """The line in the file and the reason, also where no database runs."""
    (tmp_path / "october.csv").write_text(
        "date,amount,description\n2026-10-01,-12.50,A\n2026-10-xx,-1.00,B\n"
    )
    assert_one_line(midas("import", "october.csv", folder=tmp_path), "october.csv, line 3", "2026-10-xx")


@pytest.mark.parametrize("arguments", [("queue", "ls"), ("saga", "ls"), ("migrate",), ("import", "ok.csv")])
def test_without_stores_and_without_a_demo_here_both_are_named(arguments, tmp_path):
    """Who forgot to start the demo, or stands in another folder, is told so, and not only of a variable."""
    (tmp_path / "ok.csv").write_text("date,amount,description\n2026-10-01,-12.50,A\n")
    assert_one_line(
        midas(*arguments, folder=tmp_path), "REDIS_URL", "DATABASE_URL", "no demo runs in this folder"
    )


def test_a_taken_port_is_named_with_the_variable_that_changes_it(tmp_path):
    """`make demo` on a busy machine says which port, whose, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        called = midas("demo", folder=tmp_path, BOT_METRICS_PORT=str(port))
    assert_one_line(called, str(port), "BOT_METRICS_PORT")


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("DATABASE_URL", "postgresql://ada:hunter2@127.0.0.1:{port}/x"),
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:{port}/0"),
    ],
)
def test_a_database_that_does_not_answer_is_one_line_without_its_password(variable, url, tmp_path):
    """The address is shown, the password is not."""
    zeros = {f"{name}_PORT": "0" for name in ("BOT_METRICS", "WORKER_METRICS", "PROMETHEUS", "ALERTMANAGER")}
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen: whoever calls is refused
        port = closed.getsockname()[1]
        called = midas("demo", folder=tmp_path, **{variable: url.format(port=port)}, **zeros)
    assert called.returncode == 2
    assert len(called.stderr.splitlines()) == 1, called.stderr
    assert str(port) in called.stderr
    assert variable in called.stderr
    assert "hunter2" not in called.stderr + called.stdout
    assert "Traceback" not in called.stdout


@pytest.mark.parametrize("arguments", [("saga", "ls"), ("queue", "ls"), ("saga", "show", "x")])
def test_a_redis_that_is_away_is_one_line(arguments, tmp_path):
    """Where it was looked for and why it was not found; the password in the address is not part of it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen: whoever calls is refused
        url = f"redis://:hunter2@127.0.0.1:{taken.getsockname()[1]}/0"
        called = midas(*arguments, folder=tmp_path, REDIS_URL=url)
    assert_one_line(called, "127.0.0.1", "REDIS_URL")
    assert "hunter2" not in called.stderr
