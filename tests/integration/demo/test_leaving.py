"""However the demo ends, nothing of it is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

STARTING_SECONDS = 180
ENDING_SECONDS = 90
VARIABLES = ("BOT_METRICS", "WORKER_METRICS", "PROMETHEUS", "ALERTMANAGER", "GRAFANA", "LOKI")


@contextmanager
def running_demo(
    folder: Path, *arguments: str, until: str = "logs:", **chosen: str
) -> Iterator[tuple[subprocess.Popen[bytes], list[psutil.Process]]]:
    """Run `midas demo` on free ports; give it and everything below it once it printed its addresses, or `until`."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)} | {f"{name}_PORT": "0" for name in VARIABLES}
    environ |= chosen
    output = folder / "printed"
    with output.open("wb") as sink:
        demo = subprocess.Popen(
            [sys.executable, "-m", "midas.cli", "demo", *arguments],
            cwd=folder,
            env=environ,
            stdout=sink,
            stderr=sink,
        )
    try:
        wait_until(lambda: until in output.read_text() or demo.poll() is not None, STARTING_SECONDS)
        assert demo.poll() is None, output.read_text()
        yield demo, psutil.Process(demo.pid).children(recursive=True)
    finally:
        demo.kill()
        demo.wait()


def wait_until(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def alive(processes: list[psutil.Process]) -> list[str]:
    """Name those that still run; one that only waits to be reaped by init does not."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline())[:100] or process.name())
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_told_to_end_it_tells_what_happened_and_leaves_nothing(tmp_path, signum):
    """Ctrl-C and SIGTERM stop every process, print the summary, and are no failure."""
    with running_demo(tmp_path) as (demo, processes):
        assert len(processes) > 6
        demo.send_signal(signum)
        assert demo.wait(ENDING_SECONDS) == 0
    assert alive(processes) == []
    printed = (tmp_path / "printed").read_text()
    assert "lost: 0" in printed
    assert "Traceback" not in printed
    assert sorted(path.name for path in (tmp_path / ".demo").iterdir()) == ["lock", "logs"]


def test_a_terminal_that_goes_ends_it_in_good_order(tmp_path):
    """The shell and the kernel both send SIGHUP: that is no impatience, the databases are cleared away all the same."""
    with running_demo(tmp_path) as (demo, processes):
        demo.send_signal(signal.SIGHUP)
        wait_until(lambda: "stopping" in (tmp_path / "printed").read_text(), ENDING_SECONDS)
        demo.send_signal(signal.SIGHUP)
        assert demo.wait(ENDING_SECONDS) == 0
    assert alive(processes) == []
    assert sorted(path.name for path in (tmp_path / ".demo").iterdir()) == ["lock", "logs"]


def test_it_ends_by_itself_after_its_duration(tmp_path):
    """DURATION=3 ends with exit code 0, the summary, and nothing running."""
    with running_demo(tmp_path, "--duration", "3") as (demo, processes):
        assert demo.wait(ENDING_SECONDS) == 0
    assert alive(processes) == []
    assert "lost: 0" in (tmp_path / "printed").read_text()


def test_a_killed_supervisor_takes_everything_with_it(tmp_path):
    """After kill -9 nobody is left who could stop the children, and none is left to be stopped."""
    with running_demo(tmp_path) as (demo, processes):
        demo.kill()
        wait_until(lambda: not alive(processes), ENDING_SECONDS)
    for home in Path("/tmp").glob("midas-postgres-*"):
        if str(home) == (tmp_path / ".demo" / "postgres" / "cluster-is-in").read_text().strip():
            subprocess.run(["rm", "-rf", home], check=True)


def test_a_worker_that_was_killed_is_replaced_while_the_demo_goes_on(tmp_path):
    """One dead child is said and started again; the demo's exit code stays 0."""
    with running_demo(tmp_path) as (demo, processes):
        worker = next(process for process in processes if "worker-2" in process.cmdline())
        worker.kill()
        wait_until(lambda: "worker-2 runs again" in (tmp_path / "printed").read_text(), STARTING_SECONDS)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(ENDING_SECONDS) == 0
    assert "worker-2 was ended by SIGKILL" in (tmp_path / "printed").read_text()


def test_what_is_waited_for_is_told_and_can_be_given_up(tmp_path):
    """A messenger out of reach keeps the start waiting: the screen says so, and Ctrl-C leaves nothing behind."""
    nobody = {"TELEGRAM_BOT_TOKEN": f"123456:{'a' * 35}", "TELEGRAM_API_URL": "http://127.0.0.1:9"}
    with running_demo(tmp_path, until="bot is not ready after 10 s; waiting", **nobody) as (demo, processes):
        assert len(processes) > 4
        demo.send_signal(signal.SIGINT)
        assert demo.wait(ENDING_SECONDS) == 0
    assert alive(processes) == []
    assert "nothing is left behind" in (tmp_path / "printed").read_text()
    assert sorted(path.name for path in (tmp_path / ".demo").iterdir()) == ["lock", "logs"]
