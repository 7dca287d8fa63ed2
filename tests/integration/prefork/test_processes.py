"""Whatever processes do, their counts are exact."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from botmetry import LogSettings, Telemetry

from ...untraced import fork  # noqa: TID252 -- the tests are no package on any path

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

SECONDS = 1.5
DEADLINE_SECONDS = 60.0


def count_for(telemetry: Telemetry, seconds: float, threads: int) -> int:
    """Count in several threads and return how often."""
    counter = telemetry.counter("done_total", "Done.", ["task"]).labels("a")
    histogram = telemetry.histogram("wait_seconds", "Waited.")
    gauge = telemetry.gauge("moved", "Moved.")
    numbers = []
    until = time.monotonic() + seconds

    def work() -> None:
        number = 0
        while time.monotonic() < until:
            for _ in range(100):
                counter.inc()
                histogram.observe(0.25)
                gauge.inc()
            number += 100
        numbers.append(number)

    working = [threading.Thread(target=work) for _ in range(threads)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    return sum(numbers)


def test_threads_and_forked_processes_that_count_while_others_are_forked_lose_nothing(
    telemetry, forked, lines
):
    """Eight threads here and two in each of four children: totals are exact, while and after they live."""
    telemetry.counter("done_total", "Done.", ["task"]).labels("a").inc(0)
    here: list[int] = []
    threads = threading.Thread(target=lambda: here.append(count_for(telemetry, SECONDS, 8)))
    threads.start()

    def body(pipe):
        pipe.send(count_for(telemetry, SECONDS, 2))
        pipe.recv()

    children = [forked(body) for _ in range(4)]
    while threads.is_alive():
        telemetry.render()
    threads.join()
    total = sum(here) + sum(child.receive() for child in children)
    shown = lines(telemetry)
    assert float(shown["moved"]) == total
    for child in children:
        child.pipe.send(None)
        assert child.wait() == 0
    after = lines(telemetry)
    for each in (shown, after):
        assert float(each['done_total{task="a"}']) == total
        assert int(each["wait_seconds_count"]) == total
        assert float(each["wait_seconds_sum"]) == total / 4
    assert float(after["moved"]) == sum(here)


def test_kill_9_loses_nothing_that_was_counted(telemetry, forked, lines):
    """Of four threads killed in the middle of counting, all that they said they had counted is there."""
    counter = telemetry.counter("done_total", "Done.", ["task"]).labels("a")
    said = 0
    for number in range(5):
        reading, writing = os.pipe()

        def body(_pipe, writing=writing):
            def work():
                while True:
                    counter.inc()
                    os.write(writing, b".")

            for _ in range(4):
                threading.Thread(target=work).start()
            threading.Event().wait()

        child = forked(body)
        os.close(writing)
        heard = 0
        while heard < 3_000 * (number + 1):
            heard += len(os.read(reading, 65_536))
        os.kill(child.pid, signal.SIGKILL)
        while rest := os.read(reading, 65_536):
            heard += len(rest)
        os.close(reading)
        child.wait()
        before, said = said, said + heard
        total = float(lines(telemetry)['done_total{task="a"}'])
        assert said <= total <= said + 4  # the call of each thread that was under way
        said = int(total)
        assert said > before


def test_a_killed_child_has_nothing_in_progress(telemetry, forked, lines):
    """What it was doing when it was killed is not being done any more; what it had done stays."""

    def body(pipe):
        with telemetry.bot.command("balance"):
            pass
        with telemetry.bot.command("balance"):
            pipe.send("in the middle")
            pipe.recv()

    children = [forked(body) for _ in range(2)]
    for child in children:
        child.receive()
    with telemetry.bot.command("balance"):
        assert lines(telemetry)['bot_requests_in_progress{command="balance"}'] == "3.0"
        children[0].kill()
        assert lines(telemetry)['bot_requests_in_progress{command="balance"}'] == "2.0"
    assert lines(telemetry)['bot_requests_in_progress{command="balance"}'] == "1.0"
    assert lines(telemetry)['bot_requests_total{command="balance",outcome="ok"}'] == "3.0"


def test_short_lived_children_leave_their_counts_and_nothing_else(telemetry, lines):
    """The folder does not grow with their number, and it never gets large, whether or not anybody scrapes."""
    counter = telemetry.counter("done_total", "Done.", ["task"]).labels("a")
    folder = telemetry._processes._folder.path
    sizes = []
    most = 0

    def live(number):
        counter.inc()
        telemetry.bot.user_seen(number % 10)

    for number in range(1, 301):
        os.waitpid(fork(partial(live, number)), 0)
        most = max(most, len(list(folder.iterdir())))
        if number % 30 == 0 and number > 150:  # nobody scrapes before
            assert lines(telemetry)['done_total{task="a"}'] == f"{number}.0"
            sizes.append(sum(file.stat().st_size for file in folder.iterdir()))
            assert len(list(folder.glob("*.live"))) == 1
    assert most < 100
    assert max(sizes) <= 20_000  # one file, and an archive with the series of one process
    assert lines(telemetry)['bot_active_users{window="5m"}'] == "10.0"


def test_children_of_children_and_orphans_count(telemetry, forked, lines, until):
    """A daemon's way: fork, new session, fork, and the ones in between end."""
    telemetry.counter("done_total", "Done.").inc()

    def body(_pipe):
        telemetry.counter("done_total", "Done.").inc(10)
        os.setsid()
        if os.fork() == 0:
            telemetry.counter("done_total", "Done.").inc(100)
            if os.fork() == 0:
                telemetry.counter("done_total", "Done.").inc(1_000)
            os._exit(0)

    assert forked(body).wait() == 0
    until(lambda: lines(telemetry)["done_total"] == "1111.0")
    until(
        lambda: len(list(telemetry._processes._folder.path.glob("*.live"))) == 1 or telemetry.render() is None
    )


def test_a_child_that_outlives_its_parent_shows_the_counts_of_both(forked, lines, tmp_path):
    """The parent's file becomes part of the archive as soon as it has ended, although the child was forked from it."""
    done, said, folder = tmp_path / "done", tmp_path / "said", tmp_path / "shared"
    folder.mkdir()

    def parent(_pipe):
        telemetry = Telemetry("shop-bot", prefork=folder, log=LogSettings(output="none"))
        counter = telemetry.counter("done_total", "Done.")
        counter.inc(5)
        gauge = telemetry.gauge("open", "Open.")
        gauge.set(1)
        if os.fork() == 0:
            counter.inc(2)
            while not done.exists():
                time.sleep(0.005)
            shown = lines(telemetry)
            files = len(list(telemetry._processes._folder.path.glob("*.live")))
            said.with_suffix(".new").write_text(f"{shown['done_total']} {'open' in shown} {files}")
            said.with_suffix(".new").rename(said)
            os._exit(0)

    child = forked(parent)
    assert child.wait() == 0
    done.touch()
    deadline = time.monotonic() + 30
    while not said.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert said.read_text() == "7.0 False 1"


def test_a_child_without_counts_has_no_file(telemetry, forked):
    """Forking costs no file; the first count does."""
    folder = telemetry._processes._folder.path

    def body(pipe):
        pipe.send(len(list(folder.glob("*.live"))))
        telemetry.counter("done_total", "Done.").inc()
        pipe.send(len(list(folder.glob("*.live"))))

    child = forked(body)
    assert (child.receive(), child.receive()) == (1, 2)


SPAWNING = """
import multiprocessing, sys, time
from botmetry import LogSettings, Telemetry
from botmetry.errors import SettingsError

def share(folder):
    return Telemetry("shop-bot", prefork=folder, log=LogSettings(output="none"))

def count(folder, number):
    telemetry = share(folder)
    telemetry.counter("done_total", "Done.", ["task"]).labels("a").inc(number)
    telemetry.bot.user_seen(number)
    while time.process_time() < 0.4:
        sum(range(1_000))

def share_alone():
    try:
        share(True)
    except SettingsError as error:
        print(error, flush=True)

if __name__ == "__main__":
    method, folder = sys.argv[1:]
    context = multiprocessing.get_context(method)
    started = [context.Process(target=count, args=(folder, 2**number)) for number in range(3)]
    started.append(context.Process(target=share_alone))
    for process in started:
        process.start()
    for process in started:
        process.join()
        assert process.exitcode == 0
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_share_a_folder(method, tmp_path, lines):
    """Whatever the start method, those that are given the folder count together; a spawned one needs it."""
    program, folder = tmp_path / "program.py", tmp_path / "shared"
    program.write_text(SPAWNING)
    folder.mkdir()
    result = subprocess.run(
        [sys.executable, program, method, folder],
        check=True,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    telemetry = Telemetry("shop-bot", prefork=folder, log=LogSettings(output="none"))
    shown = lines(telemetry)
    assert shown['done_total{task="a"}'] == "7.0"
    assert shown['bot_active_users{window="1h"}'] == "3.0"
    assert float(shown["process_cpu_seconds_total"]) > 3 * 0.4  # noted at their end: nobody has looked before
    refused = "prefork=True cannot be used: expected the path of a folder"
    assert (refused in result.stdout) is (method != "fork")


PROGRAM = """
import os, sys
from botmetry import LogSettings, Telemetry
telemetry = Telemetry("shop-bot", prefork=True, log=LogSettings(output="none"))
if {fork} and os.fork() == 0:
    telemetry.counter("done_total", "Done.").inc()
    sys.exit(0)
if {fork}:
    os.wait()
print(telemetry._processes._folder.path, flush=True)
{end}
"""


@pytest.mark.parametrize("fork", [True, False])
def test_a_folder_of_our_own_is_gone_when_the_program_is(fork):
    """The last process takes it away at its end, and a forked child that ends earlier does not."""
    program = PROGRAM.format(fork=fork, end="assert telemetry.render()")
    path = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert "botmetry-prefork-" in path
    assert not Path(path).exists()


def test_the_folder_of_a_killed_program_is_swept_away_by_the_next_one():
    """Once it is a minute old and nobody lives in it; what is not botmetry's stays."""
    program = PROGRAM.format(fork=False, end="os.kill(os.getpid(), 9)")
    result = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    path = Path(result.stdout.strip())
    assert path.exists()
    Telemetry("shop-bot", prefork=True, log=LogSettings(output="none"))
    assert path.exists()
    (path / "somebody's").touch()
    os.utime(path, (time.time() - 3600,) * 2)
    Telemetry("shop-bot", prefork=True, log=LogSettings(output="none"))
    assert [file.name for file in path.iterdir()] == ["somebody's"]
    (path / "somebody's").unlink()
    os.utime(path, (time.time() - 3600,) * 2)
    Telemetry("shop-bot", prefork=True, log=LogSettings(output="none"))
    assert not path.exists()


def test_processor_time_never_falls_when_a_process_ends(telemetry, forked, lines):
    """What a child has spent stays in the sum, and memory is that of the living."""
    telemetry.render()

    def body(pipe):
        telemetry.counter("done_total", "Done.").inc()
        while time.process_time() < 0.5:
            sum(range(1_000))
        pipe.send("worked")
        pipe.recv()

    child = forked(body)
    child.receive()
    living = lines(telemetry)
    child.kill()
    for _ in range(2):
        after = lines(telemetry)
        assert float(after["process_cpu_seconds_total"]) >= float(living["process_cpu_seconds_total"]) >= 0.5
        assert float(after["process_resident_memory_bytes"]) < float(living["process_resident_memory_bytes"])
    assert not [line for line in living if line.startswith("python_gc")]


def test_a_fork_in_the_middle_of_anything_leaves_nothing_locked(telemetry, forked, lines):
    """Children are forked while threads make new series, scrape and remove; each of them can do all of it, too."""
    done = threading.Event()

    def busy(number):
        counter = telemetry.counter("done_total", "Done.", ["task"])
        for turn in range(1_000_000):
            counter.labels(f"{number}-{turn % 200}").inc()
            if turn % 10 == number:
                telemetry.render()
            if turn % 7 == number:
                counter.remove(f"{number}-{(turn + 1) % 200}")
            if done.is_set():
                return

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()

    def body(pipe):
        counter = telemetry.counter("done_total", "Done.", ["task"])
        counter.labels("child").inc()
        counter.labels("0-1").inc()
        counter.remove("0-1")
        telemetry.bot.user_seen(1)
        pipe.send(b'done_total{task="child"}' in telemetry.render())

    try:
        for _ in range(25):
            child = forked(body)
            assert child.receive() is True
            assert child.wait() == 0
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert lines(telemetry)['done_total{task="child"}'] == "25.0"


def test_a_stopped_child_is_alive(telemetry, forked, lines):
    """SIGSTOP ends nothing: its gauges count until it is killed."""

    def body(pipe):
        telemetry.gauge("open", "Open.").set(3)
        pipe.send("set")
        pipe.recv()

    child = forked(body)
    child.receive()
    os.kill(child.pid, signal.SIGSTOP)
    assert lines(telemetry)["open"] == "3.0"
    child.kill()
    with suppress(KeyError):
        assert lines(telemetry)["open"] == "0.0"


def test_a_child_that_was_forked_without_python_knowing_is_found_out(telemetry, lines):
    """At its next new series it gets a file of its own, and the error says what to set."""
    counter = telemetry.counter("done_total", "Done.", ["task"])
    counter.labels("a").inc()

    def live():
        counter.labels("b").inc(2)
        counter.labels("a").inc(4)

    # PyDLL keeps the GIL: a child that another thread has taken it from waits for a thread that is not there.
    pid = fork(live, ctypes.PyDLL(None).fork)
    assert os.waitpid(pid, 0)[1] == 0
    shown = lines(telemetry)
    assert (shown['done_total{task="a"}'], shown['done_total{task="b"}']) == ("5.0", "2.0")
    assert shown['telemetry_errors_total{component="prefork"}'] == "1.0"
