"""Whatever lies in the folder, and whoever is killed at whatever moment: a scrape shows what can be known."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botmetry.errors import SettingsError
from botmetry.metrics import MetricSpec, Registry
from botmetry.metrics.prefork import InFolder
from botmetry.metrics.prefork import folder as folder_module
from botmetry.metrics.prefork.definitions import Definition, Definitions, describe
from botmetry.metrics.prefork.layout import HEADER_BYTES, Header, Kind, header_bytes, record_bytes
from botmetry.metrics.prefork.marks import marks_of
from botmetry.metrics.prefork.reading import Reader
from botmetry.metrics.prefork.totals import Totals
from botmetry.metrics.prefork.view import View


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("1-00.live", b""),
        ("1-00.live", b"x" * 5000),
        ("1-00.live", header_bytes(Header(2**40))),
        ("1-00.live", header_bytes(Header(HEADER_BYTES + 24)) + b"\xff" * 24),
        ("notes.txt", b"somebody's"),
        ("archive", b"no archive"),
    ],
)
def test_a_file_that_makes_no_sense_is_passed_over_and_reported_once(sharing, folder, name, content):
    """The rest is shown; a damaged file of ours is kept for people."""
    one = sharing()
    one.counter.labels("a").inc(3)
    (folder / name).write_bytes(content)
    for _ in range(3):
        assert one.lines()['done_total{task="a"}'] == "3.0"
    assert len(one.failures) == 1
    if name.endswith(".live"):
        assert (folder / (name + ".damaged")).read_bytes() == content


def test_what_is_no_file_is_passed_over(sharing, folder):
    """A folder, a dangling link and a named pipe by the name of a process neither hang nor break a scrape."""
    one = sharing()
    one.counter.labels("a").inc()
    (folder / "1-00.live").mkdir()
    (folder / "2-00.live").symlink_to("nowhere")
    os.mkfifo(folder / "3-00.live")
    assert one.lines()['done_total{task="a"}'] == "1.0"
    assert len(one.failures) == 3


def test_a_damaged_archive_is_set_aside_and_a_new_one_begun(sharing, folder):
    """Of the ended processes nothing is known any more; what comes after is right."""
    one, other, third = sharing(), sharing(), sharing()
    other.counter.labels("a").inc()
    other.end()
    one.registry.render()
    content = bytearray((folder / "archive").read_bytes())
    content[-1] ^= 1
    (folder / "archive").write_bytes(content)
    third.counter.labels("a").inc(5)
    third.end()
    for _ in range(2):
        assert one.lines()['done_total{task="a"}'] == "5.0"
    assert (folder / "archive.damaged").read_bytes() == content
    assert [str(error) for error in one.failures] == [
        "the archive is damaged; the counts of ended processes start again at 0"
    ]


def a_file() -> bytes:
    """Return the bytes of a file with a metric of each kind."""
    path = Path(tempfile.mkdtemp())
    keeping = InFolder(str(path), lambda _: None)
    registry = Registry(failed=lambda *_: None, overflowed=lambda _: None, keeping=keeping)
    registry.counter(MetricSpec("done_total", "counter", "Done.", ("task",))).labels("a").inc(
        1, {"trace_id": "1"}
    )
    registry.histogram(MetricSpec("wait_seconds", "histogram", "Wait.", (), (1.0,))).observe(
        1, {"trace_id": "1"}
    )
    registry.gauge(MetricSpec("open", "gauge", "Open.")).set(2)
    keeping.users().note(7, time.time())
    ((_, _, data),) = keeping._ledger.copies()
    shutil.rmtree(path)
    return data


FILE = a_file()


@given(
    st.lists(st.tuples(st.integers(0, len(FILE) - 1), st.integers(0, 255)), min_size=1, max_size=8),
    st.booleans(),
)
def test_no_bytes_whatsoever_break_a_scrape(changes, cut):
    """A file that was changed anywhere is shown, or refused with a ValueError."""
    data = bytearray(FILE)
    for place, byte in changes:
        data[place] = byte
    with tempfile.NamedTemporaryFile() as file, contextlib.suppress(ValueError):
        file.write(data[: changes[0][0]] if cut else data)
        file.flush()
        part = Reader("x", Definitions()).read(file.fileno())
        marks_of(part)
        totals, view = Totals(), View()
        totals.add(part, living=True, forgotten={})
        for known in view.all_known(totals, []):
            "".join(view.filled(totals, known).render(openmetrics=True)).encode()


def test_a_reader_that_met_an_error_reads_everything_the_next_time():
    """What was understood before the error is not there twice."""
    definition = Definition(MetricSpec("x_total", "counter", "X."), exposed=True, limit=None)
    metric = record_bytes(Kind.METRIC, describe(definition), b"")
    series = record_bytes(Kind.SERIES, f"[{HEADER_BYTES},[]]".encode(), bytes(16))
    data = header_bytes(Header(HEADER_BYTES + len(metric) + len(series))) + metric + series
    reader = Reader("x", Definitions())
    broken = bytearray(data)
    broken[-len(series) + 30] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        reader.understand(Header(len(data)), bytes(broken))
    for _ in range(2):
        ((_, rows),) = reader.understand(Header(len(data)), data).rows.items()
        assert len(rows) == 1


@pytest.mark.parametrize("step", range(12))
def test_merging_may_be_killed_anywhere(sharing, folder, files, monkeypatch, step):
    """The total is right after each system call that merging makes, and the next scrape tidies up."""
    one, other = sharing(), sharing()
    for number in range(3):
        ended = sharing()
        ended.counter.labels("a").inc(10)
        ended.histogram.labels("a").observe(number)
        ended.end()
        if number == 1:
            one.registry.render()
    expected = one.lines.__func__
    calls = 0

    def dying(function):
        def call(*args, **kwargs):
            nonlocal calls
            if calls == step:
                raise Killed
            calls += 1
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", dying(Path.rename))
        patched.setattr(Path, "unlink", dying(Path.unlink))
        patched.setattr(folder_module.os, "fdopen", dying(os.fdopen))
        with contextlib.suppress(Killed):
            one.registry.render()
    for each in (other, one, other):
        lines = expected(each)
        assert (lines['done_total{task="a"}'], lines['wait_seconds_count{task="a"}']) == ("30.0", "3")
    assert len(files()) == 2


def test_a_reader_that_is_overtaken_by_a_merge_reads_again(sharing, monkeypatch):
    """A file that became part of the archive between two steps of a reading is counted once."""
    one, other, ended = sharing(), sharing(), sharing()
    ended.counter.labels("a").inc(10)
    ended.end()
    listing = folder_module.Folder.listing
    overtaken = []

    def slow(self):
        found = listing(self)
        if self is one.keeping._folder and not overtaken:
            overtaken.append(1)
            other.registry.render()
        return found

    monkeypatch.setattr(folder_module.Folder, "listing", slow)
    assert one.lines()['done_total{task="a"}'] == "10.0"
    assert overtaken


def test_who_is_stopped_while_merging_holds_up_no_scrape(sharing, files):
    """The file of an ended process stays until the lock is free, and is counted all the same."""
    one, other, ended = sharing(), sharing(), sharing()
    ended.counter.labels("a").inc()
    ended.end()
    with other.keeping._folder.merging() as alone:
        assert alone
        assert one.lines()['done_total{task="a"}'] == "1.0"
        assert len(files()) == 3
    one.registry.render()
    assert len(files()) == 2


def test_a_series_cannot_be_removed_everywhere_while_somebody_merges_for_long(sharing, monkeypatch):
    """That is reported, and holds the caller up for half a second at most."""
    one, other = sharing(), sharing()
    one.counter.labels("a").inc()
    with other.keeping._folder.merging():
        one.counter.remove("a")
    assert [type(error) for error in one.failures] == [TimeoutError]


def test_a_folder_that_cannot_be_used_is_refused_at_once(tmp_path):
    """The error names the option, the folder and what to do."""
    missing = tmp_path / "missing"
    with pytest.raises(
        SettingsError, match=f"prefork='{missing}' cannot be used: expected an existing folder"
    ):
        InFolder(str(missing), lambda _: None)
    with pytest.raises(SettingsError, match="mkdir"):
        InFolder("", lambda _: None)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SettingsError, match="mkdir"):
        InFolder(str(file), lambda _: None)


def test_a_folder_that_vanishes_takes_nothing_from_this_process(sharing, folder):
    """Its own counts are shown, and what it begins to count as well."""
    one = sharing()
    one.counter.labels("a").inc()
    shutil.rmtree(folder)
    one.counter.labels("a").inc()
    one.histogram.labels("new").observe(1)
    lines = one.lines()
    assert (lines['done_total{task="a"}'], lines['wait_seconds_count{task="new"}']) == ("2.0", "1")
    assert [type(error) for error in one.failures] == [FileNotFoundError]


@pytest.fixture
def small_files():
    """No file of this process may grow beyond what it needs now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_ends_no_program(sharing, small_files):
    """What has no room is kept in memory: shown here, reported, and nothing is lost of what had room."""
    one, other = sharing(), sharing()
    one.counter.labels("early").inc()
    small_files(16 * 1024)
    for number in range(900):
        one.counter.labels(number).inc(2)
    one.counter.labels("early").inc()
    lines = one.lines()
    assert [lines[f'done_total{{task="{number}"}}'] for number in range(900)] == ["2.0"] * 900
    assert lines['done_total{task="early"}'] == "2.0"
    assert other.lines()['done_total{task="early"}'] == "2.0"
    assert [type(error) for error in one.failures] == [OSError]
    one.counter.remove(899)
    one.counter.labels("late").inc()
    assert 'done_total{task="899"}' not in one.lines()
    assert one.lines()['done_total{task="late"}'] == "1.0"


def test_a_descriptor_that_was_closed_by_somebody_else_is_left_alone(sharing, folder):
    """A program that closes all its descriptors keeps its lock and its counts, and the next file is not harmed."""
    one, other = sharing(), sharing()
    one.counter.labels("a").inc()
    descriptor = one.keeping._ledger._file.descriptor
    os.close(descriptor)
    somebody = os.open(folder.parent / "other", os.O_CREAT | os.O_RDWR)
    assert somebody == descriptor
    one.counter.labels("a").inc()
    for number in range(900):
        one.counter.labels(number).inc()
    assert os.fstat(somebody).st_size == 0
    assert other.lines()['done_total{task="a"}'] == "2.0"
    assert one.lines()['done_total{task="899"}'] == "1.0"
    one.end()
    os.close(somebody)  # which is still open


def test_an_unfinished_file_is_removed_when_it_is_old(sharing, folder):
    """Who was killed while it made its file leaves nothing for ever."""
    old, new = folder / ".new-00", folder / ".new-01"
    for file in (old, new):
        file.touch()
    os.utime(old, (time.time() - 3600,) * 2)
    one, ended = sharing(), sharing()
    ended.end()
    one.registry.render()
    assert [file.exists() for file in (old, new)] == [False, True]
    assert one.failures == []


def test_a_folder_belongs_to_one_service(tmp_path):
    """Two would each show the sum of both, and Prometheus would count everything twice."""
    InFolder(str(tmp_path), print, "shop-bot")
    InFolder(str(tmp_path), print, "shop-bot")
    with pytest.raises(SettingsError, match="'shop-worker' alone, and this one has the counts of 'shop-bot'"):
        InFolder(str(tmp_path), print, "shop-worker")
