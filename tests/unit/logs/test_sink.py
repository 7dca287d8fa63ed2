from __future__ import annotations

import fcntl
import os
import threading
import time

import orjson
import pytest

from botmetry.logs import Sink
from botmetry.logs.sink import FLUSH_SECONDS, STALL_SECONDS

PATIENCE = 60.0  # seconds for things that take milliseconds on an idle machine


@pytest.fixture
def dropped() -> list[int]:
    return []


@pytest.fixture
def failures() -> list[BaseException]:
    return []


@pytest.fixture
def open_sink(dropped, failures):
    """Make sinks that are closed after the test, without waiting for an output that is blocked on purpose."""
    sinks = []

    def make(output: object, **options: object) -> Sink:
        sink = Sink(
            str(output),
            on_dropped=dropped.append,
            on_error=lambda _, error: failures.append(error),
            **options,
        )
        sinks.append(sink)
        return sink

    yield make
    for sink in sinks:
        sink.close(timeout=0.0)


@pytest.fixture
def pipe():
    """A pipe, and the path under which its writing end can be opened."""
    reading, writing = os.pipe()
    yield reading, f"/proc/self/fd/{writing}"
    os.close(reading)
    os.close(writing)


def read_all(descriptor: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += os.read(descriptor, 1 << 20)
    return bytes(data)


def numbered(count: int, width: int = 0) -> list[bytes]:
    return [orjson.dumps({"n": n, "fill": "x" * width}) + b"\n" for n in range(count)]


def test_lines_arrive_in_order_and_whole(open_sink, tmp_path):
    """Everything that was written is in the file after `close`, in order."""
    sink = open_sink(tmp_path / "logs" / "bot.jsonl")
    lines = numbered(10_000)
    for line in lines:
        sink.write(line)
    sink.close()
    assert (tmp_path / "logs" / "bot.jsonl").read_bytes() == b"".join(lines)


def test_no_thread_and_no_file_before_the_first_line(open_sink, tmp_path):
    """Making a sink opens nothing and starts nothing."""
    before = threading.active_count()
    sink = open_sink(tmp_path / "bot.jsonl")
    assert threading.active_count() == before
    assert not (tmp_path / "bot.jsonl").exists()
    assert sink.flush()
    sink.close()
    assert not (tmp_path / "bot.jsonl").exists()


def test_close_ends_the_thread_and_another_line_starts_it_again(open_sink, tmp_path):
    """After `close` no thread is left; a line that comes later is written all the same."""
    sink = open_sink(tmp_path / "bot.jsonl")
    for text in (b"1\n", b"2\n", b"3\n"):
        sink.write(text)
        sink.close()
        sink.close()
        assert not [thread for thread in threading.enumerate() if thread.name == "botmetry-logs"]
    assert (tmp_path / "bot.jsonl").read_bytes() == b"1\n2\n3\n"


def test_flush_waits_until_the_lines_are_there(open_sink, tmp_path):
    """After `flush` the lines can be read, and the thread goes on."""
    sink = open_sink(tmp_path / "bot.jsonl")
    for number in range(20):
        sink.write(b"%d\n" % number)
        assert sink.flush()
        assert (tmp_path / "bot.jsonl").read_bytes().endswith(b"%d\n" % number)


def test_threads_write_side_by_side_and_lose_nothing(open_sink, tmp_path):
    """Lines of many threads at once all arrive, each one whole, in the order of its own thread."""
    sink = open_sink(tmp_path / "bot.jsonl")

    def write(name: int) -> None:
        for n in range(2000):
            sink.write(orjson.dumps([name, n]) + b"\n")

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.close()
    pairs = [orjson.loads(line) for line in (tmp_path / "bot.jsonl").read_bytes().splitlines()]
    for name in range(8):
        assert [n for writer, n in pairs if writer == name] == list(range(2000))


def test_nothing_is_written_for_none(open_sink):
    """The output `none` takes lines and does nothing."""
    sink = open_sink("none")
    sink.write(b"1\n")
    assert sink.enabled is False
    assert sink.flush()


def test_a_pipe_that_nobody_reads_does_not_keep_the_caller(open_sink, dropped, pipe):
    """With an output that takes nothing, callers go on at full speed; what does not fit is dropped and counted."""
    _, path = pipe
    sink = open_sink(path, buffer_bytes=256 * 1024)
    lines = numbered(20_000, width=80)
    began = time.monotonic()
    for line in lines:
        sink.write(line)
    assert time.monotonic() - began < 20.0, "20,000 lines took as long as if somebody had waited"
    assert 0 < sum(dropped) < len(lines)
    assert sink._bytes <= 256 * 1024
    assert sink.flush(timeout=0.1) is False


def test_a_slow_reader_gets_whole_lines_and_the_number_of_the_missing_ones(open_sink, dropped, pipe):
    """When a blocked output goes on, it gets what was kept, in order, and a line that counts what is missing."""
    reading, path = pipe
    sink = open_sink(path, buffer_bytes=256 * 1024)
    sink.announce_drops(lambda lines: b'{"missing":%d}\n' % lines)
    lines = numbered(10_000, width=80)
    for line in lines:
        sink.write(line)
    data = bytearray()
    reader = threading.Thread(target=lambda: data.extend(iter_read(reading)))
    reader.start()
    assert sink.flush(timeout=PATIENCE)
    sink.write(b'{"end":true}\n')
    reader.join(PATIENCE)
    assert not reader.is_alive()
    values = [orjson.loads(line) for line in bytes(data).splitlines()]
    numbers = [value["n"] for value in values if "n" in value]
    missing = sum(value.get("missing", 0) for value in values)
    assert numbers == sorted(set(numbers))
    assert missing == sum(dropped) > 0
    assert len(numbers) + missing == len(lines)


def iter_read(descriptor: int):
    """Read until a line says that it is the end."""
    tail = b""
    while not tail.endswith(b'"end":true}\n'):
        block = os.read(descriptor, 4096)
        tail = (tail + block)[-100:]
        yield from block


def test_a_reader_that_keeps_up_misses_nothing(open_sink, dropped, pipe):
    """A busy caller does not starve the writing thread: a pipe that is read fast gets every line."""
    reading, path = pipe
    sink = open_sink(path, buffer_bytes=4 * 1024 * 1024)
    lines = numbered(60_000, width=120)
    expected = sum(map(len, lines))
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(read_all(reading, expected)))
    reader.start()
    for line in lines:
        sink.write(line)
    sink.close(timeout=PATIENCE)
    reader.join(0.2 if dropped else PATIENCE)
    assert dropped == []
    assert received == [b"".join(lines)]


def test_a_full_disk_drops_and_counts(open_sink, dropped, failures):
    """A device without space never raises in the caller; every line is counted as lost, the error reported once."""
    sink = open_sink("/dev/full")
    for line in numbered(1000):
        sink.write(line)
    sink.close()
    assert sum(dropped) == 1000
    assert [error.errno for error in failures] == [28]


def test_a_path_that_cannot_exist_drops_and_counts(open_sink, dropped, failures):
    """A path that no system call takes is a broken output like any other."""
    sink = open_sink("logs/\0/bot.jsonl")
    sink.write(b"1\n")
    sink.close()
    assert dropped == [1]
    assert [type(error) for error in failures] == [OSError]


def test_lines_wait_for_an_output_that_is_repaired(open_sink, dropped, failures, tmp_path, eventually):
    """While a file cannot be opened its lines wait; they arrive as soon as it can be, none lost."""
    blocker = tmp_path / "logs"
    blocker.write_text("a file where the folder should be")
    sink = open_sink(blocker / "bot.jsonl")
    for line in numbered(100):
        sink.write(line)
    eventually(lambda: failures)
    assert sink.flush(timeout=0.0) is False
    blocker.unlink()
    eventually((blocker / "bot.jsonl").exists)
    sink.close()
    assert (blocker / "bot.jsonl").read_bytes() == b"".join(numbered(100))
    assert dropped == []
    assert len(failures) == 1


def test_a_rotated_file_is_followed(open_sink, tmp_path):
    """After a rename (logrotate) lines go to the new file; after a truncation in place they begin at its start."""
    path = tmp_path / "bot.jsonl"
    sink = open_sink(path)
    sink.write(b"1\n")
    sink.flush()
    path.rename(tmp_path / "bot.jsonl.1")
    sink.write(b"2\n")
    sink.flush()
    os.truncate(path, 0)
    sink.write(b"3\n")
    sink.flush()
    path.unlink()
    sink.write(b"4\n")
    sink.flush()
    assert (tmp_path / "bot.jsonl.1").read_bytes() == b"1\n"
    assert path.read_bytes() == b"4\n"


def test_a_long_line_passes_through_a_non_blocking_pipe_whole(open_sink, pipe, dropped, failures):
    """Writes that are taken in parts are continued, also when somebody made the pipe non-blocking."""
    reading, path = pipe
    sink = open_sink(path)
    line = b"y" * 1_000_000 + b"\n"
    sink.write(b"1\n")
    sink.flush()
    flags = fcntl.fcntl(sink._output._descriptor, fcntl.F_GETFL)
    fcntl.fcntl(sink._output._descriptor, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    sink.write(line)
    assert read_all(reading, len(line) + 2) == b"1\n" + line
    assert sink.flush(timeout=PATIENCE)
    assert (dropped, failures) == ([], [])


def test_a_line_longer_than_the_buffer_is_dropped_and_counted(open_sink, tmp_path, dropped):
    """The memory is bounded even for one line."""
    sink = open_sink(tmp_path / "bot.jsonl", buffer_bytes=64 * 1024)
    sink.write(b"x" * 70_000 + b"\n")
    sink.write(b"1\n")
    sink.close()
    assert dropped == [1]
    assert (tmp_path / "bot.jsonl").read_bytes() == b"1\n"


def test_a_callback_that_fails_harms_nobody(tmp_path):
    """Counting drops may fail; neither the caller nor the writing thread notices."""

    def fail(*_: object) -> None:
        raise RuntimeError("counting is broken")

    sink = Sink("/dev/full", on_dropped=fail, on_error=fail)
    sink.write(b"1\n")
    sink.close()
    sink = Sink(str(tmp_path / "x"), buffer_bytes=4, on_dropped=fail)
    sink.write(b"12345\n")
    sink.write(b"1\n")
    sink.close()
    assert (tmp_path / "x").read_bytes() == b"1\n"


def test_close_gives_a_blocked_output_up_in_time(open_sink, pipe, dropped):
    """`close` waits for an output as long as it takes something, and not longer than a second if it does not."""
    _, path = pipe
    sink = open_sink(path)
    for line in numbered(5000, width=100):
        sink.write(line)
    began = time.monotonic()
    sink.close()
    assert time.monotonic() - began < FLUSH_SECONDS + STALL_SECONDS + PATIENCE
    assert sum(dropped) > 0


def test_a_log_line_from_a_signal_handler_or_finalizer_does_not_deadlock(open_sink, tmp_path):
    """A line may be written while the same thread is inside the slow part of `write`."""
    sink = open_sink(tmp_path / "bot.jsonl")
    with sink._lock:
        sink.write(b"1\n")
    sink.close()
    assert (tmp_path / "bot.jsonl").read_bytes() == b"1\n"


def test_without_a_thread_the_lines_are_written_by_close(open_sink, tmp_path, failures, monkeypatch):
    """Where no thread can be started, lines wait and `close` writes them itself."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        sink = open_sink(tmp_path / "bot.jsonl")
        sink.write(b"1\n")
        sink.write(b"2\n")
        sink.close()
    assert (tmp_path / "bot.jsonl").read_bytes() == b"1\n2\n"
    assert {type(error) for error in failures} == {RuntimeError}
