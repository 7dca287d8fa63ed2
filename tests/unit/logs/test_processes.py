"""What happens to the lines of whole processes: how they end, what they fork, what they share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import orjson
import pytest

PRELUDE = """
import atexit, os, signal, sys
from botmetry.logs import open_log
from botmetry.settings import LEVELS, LogSettings

counts = {"written": 0, "dropped": 0}

def count():
    counts["written"] += 1

counted = dict.fromkeys(LEVELS, count)

def drop(lines):
    counts["dropped"] += lines

def make(output="stderr", **settings):
    return open_log(
        "test", LogSettings(output=output, **settings), counted=counted, failed=lambda *_: None, dropped=drop
    )
"""


def start(program: str, *arguments: str, **options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(program), *arguments],
        stdout=subprocess.PIPE,
        stderr=options.pop("stderr", subprocess.PIPE),
        **options,
    )


def run(program: str, *arguments: str) -> tuple[int, bytes, bytes]:
    process = start(program, *arguments)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def numbers(lines: bytes) -> list[int]:
    return [orjson.loads(line)["n"] for line in lines.splitlines()]


@pytest.mark.parametrize(
    "ending",
    [
        "pass",
        "sys.exit(0)",
        "raise SystemExit",
        "log.close()",
        "log.flush(); os._exit(0)",
    ],
)
def test_a_process_that_ends_has_written_every_line(ending):
    """However a program ends in order, the lines it wrote are on their way out before it is gone."""
    code, _, err = run(
        f"""
        log = make()
        for n in range(5000):
            log.info("a.b", n=n)
        {ending}
        """
    )
    assert code == 0
    assert numbers(err) == list(range(5000))


def test_an_unhandled_exception_loses_no_line():
    """The last lines before a crash are the ones that matter."""
    code, _, err = run('log = make(); log.info("a.b", n=1); log.error("a.c", n=2); raise ValueError("crash")')
    assert code == 1
    lines = [line for line in err.splitlines() if line.startswith(b"{")]
    assert numbers(b"\n".join(lines)) == [1, 2]


def test_sigterm_that_the_program_handles_loses_no_line():
    """A program that turns SIGTERM into an exit writes what it logged until then."""
    process = start(
        """
        log = make()
        signal.signal(signal.SIGTERM, lambda *_: (log.info("bot.stopping", n=1000), sys.exit(0)))
        for n in range(1000):
            log.info("a.b", n=n)
        print("ready", flush=True)
        while True:
            signal.pause()
        """
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert numbers(err) == list(range(1001))


def test_lines_of_exit_functions_are_written():
    """Exit functions that run after ours may still log."""
    _, _, err = run(
        """
        atexit.register(lambda: log.info("a.b", n=2))
        log = make()
        log.info("a.b", n=1)
        """
    )
    assert numbers(err) == [1, 2]


def test_an_output_nobody_reads_does_not_keep_a_process_from_ending():
    """A process whose stderr is a full pipe ends in time, and its work is not held up."""
    process = start(
        """
        log = make(buffer_bytes=65536)
        for n in range(20000):
            log.info("a.b", n=n)
        print(counts["written"], counts["dropped"] > 0, flush=True)
        """
    )
    assert process.stdout.readline() == b"20000 True\n"
    assert process.wait(timeout=60) == 0
    process.communicate()


def test_a_closed_pipe_is_no_error():
    """When the reader of stderr is gone, lines are dropped and counted, and the program goes on."""
    reading, writing = os.pipe()
    process = start(
        """
        log = make()
        input()
        for n in range(1000):
            log.info("a.b", n=n)
        log.close()
        log.info("a.c", n=1)
        log.close()
        print(counts, flush=True)
        """,
        stderr=writing,
        stdin=subprocess.PIPE,
    )
    os.close(writing)
    os.close(reading)
    out, _ = process.communicate(b"\n", timeout=60)
    assert out == b"{'written': 1001, 'dropped': 1001}\n"
    assert process.returncode == 0


def test_a_process_without_stderr_is_no_error():
    """A program whose stderr is closed logs into nothing."""
    code, out, _ = run(
        """
        os.close(2)
        log = make()
        log.info("a.b")
        log.close()
        print(counts)
        """
    )
    assert (code, out) == (0, b"{'written': 1, 'dropped': 1}\n")


def test_stdout_can_be_the_output():
    """`stdout` writes to the standard output."""
    code, out, err = run('log = make("stdout"); log.info("a.b", n=1)')
    assert (code, numbers(out), err) == (0, [1], b"")


def test_a_disk_that_fills_up_and_is_emptied_tears_no_line(tmp_path):
    """A line that was cut by a full disk is completed once there is room, and nothing is missing."""
    path = tmp_path / "bot.jsonl"
    code, _, _ = run(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        failed = []
        log = open_log("test", LogSettings(output=sys.argv[1]), counted=counted, dropped=drop,
                       failed=lambda component, error: failed.append(error))
        for n in range(1000):
            log.info("a.b", n=n)
        log.flush(0.5)
        assert [type(error) for error in failed] == [OSError], failed
        assert os.path.getsize(sys.argv[1]) == 10_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert log.flush(30)
        """,
        str(path),
    )
    assert code == 0
    assert numbers(path.read_bytes()) == list(range(1000))


def test_a_forked_child_writes_its_own_lines_once(tmp_path):
    """Lines that waited in the parent are written by the parent alone; parent and child go on side by side."""
    path = tmp_path / "bot.jsonl"
    code, _, _ = run(
        """
        log = make(sys.argv[1])
        for n in range(1000):
            log.info("a.b", n=n)
        children = []
        for child in range(4):
            pid = os.fork()
            if pid == 0:
                for n in range(500):
                    log.info("a.b", n=10_000 * (child + 1) + n)
                sys.exit(0)
            children.append(pid)
        for n in range(1000, 2000):
            log.info("a.b", n=n)
        assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
        """,
        str(path),
    )
    assert code == 0
    expected = [*range(2000)] + [10_000 * (child + 1) + n for child in range(4) for n in range(500)]
    assert Counter(numbers(path.read_bytes())) == Counter(expected)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_writes_its_lines(method, tmp_path):
    """Children of multiprocessing end without exit functions, and lose nothing all the same."""
    script = tmp_path / "main.py"
    script.write_text(
        PRELUDE
        + textwrap.dedent(
            """
            import multiprocessing

            log = make(sys.argv[1])

            def work(child):
                for n in range(300):
                    log.info("a.b", n=1000 * child + n)

            if __name__ == "__main__":
                log.info("a.b", n=0)
                context = multiprocessing.get_context(sys.argv[2])
                processes = [context.Process(target=work, args=(child,)) for child in (1, 2)]
                for process in processes:
                    process.start()
                for process in processes:
                    process.join()
            """
        )
    )
    path = tmp_path / "bot.jsonl"
    subprocess.run([sys.executable, str(script), str(path), method], check=True, timeout=60)
    expected = [0] + [1000 * child + n for child in (1, 2) for n in range(300)]
    assert Counter(numbers(path.read_bytes())) == Counter(expected)


def test_a_fork_while_other_threads_log_leaves_no_lock_behind(tmp_path):
    """A child forked in the middle of other threads' work can log at once."""
    code, _, _ = run(
        """
        import threading
        log = make(sys.argv[1])
        stop = threading.Event()
        def write():
            while not stop.is_set():
                log.info("a.b", n=0)
        threads = [threading.Thread(target=write) for _ in range(2)]
        for thread in threads:
            thread.start()
        for child in range(10):
            pid = os.fork()
            if pid == 0:
                log.info("a.b", n=child + 1)
                log.close()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        stop.set()
        """,
        str(tmp_path / "bot.jsonl"),
    )
    assert code == 0
    seen = Counter(numbers((tmp_path / "bot.jsonl").read_bytes()))
    assert [seen[child + 1] for child in range(10)] == [1] * 10


WRITER = """
name, path = sys.argv[1:]
log = make(path)
for n in range(1500):
    log.info("a.b", n=n, writer=name, fill="x" * (n * 7 % 2500))
"""


@pytest.mark.parametrize("shared", ["file", "pipe"])
def test_processes_that_share_an_output_do_not_mix_their_lines(shared, tmp_path: Path):
    """Lines of four processes that write to one file, or one pipe, at the same time are all whole."""
    if shared == "file":
        path = tmp_path / "bot.jsonl"
        processes = [start(WRITER, str(name), str(path)) for name in range(4)]
        for process in processes:
            assert process.wait(timeout=60) == 0
            process.communicate()
        data = path.read_bytes()
    else:
        reading, writing = os.pipe()
        processes = [start(WRITER, str(name), "stderr", stderr=writing) for name in range(4)]
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            data = pipe.read()
        for process in processes:
            assert process.wait(timeout=60) == 0
            process.communicate()
    lines = [orjson.loads(line) for line in data.splitlines()]
    for name in range(4):
        assert [line["n"] for line in lines if line["writer"] == str(name)] == list(range(1500))
