"""What several processes have counted is shown as one would show it."""

from __future__ import annotations

import itertools
import math

import pytest

from botmetry.metrics import MetricSpec


def test_counters_and_histograms_add_up_over_living_and_ended_processes(sharing):
    """Every scrape shows all, before and after a process has ended, wherever it is made."""
    first, second = sharing(), sharing()
    first.counter.labels("a").inc(2)
    second.counter.labels("a").inc(0.5)
    second.counter.labels("b").inc()
    for value in (0.05, 5, 50):
        second.histogram.labels("a").observe(value)
    first.histogram.labels("a").observe(0.5)
    before = first.lines()
    assert before == second.lines()
    assert before['done_total{task="a"}'] == "2.5"
    assert [
        before[f'wait_seconds_bucket{{task="a",le="{le}"}}'] for le in ("0.1", "1.0", "10.0", "+Inf")
    ] == list("1234")
    second.end()
    shown = ("done", "wait")
    for _ in range(2):  # from the file of the ended process, and from the archive
        after = first.lines()
        assert {k: v for k, v in after.items() if k.startswith(shown)} == {
            k: v for k, v in before.items() if k.startswith(shown)
        }


def test_the_file_of_an_ended_process_goes_into_the_archive(sharing, folder, files):
    """One scrape later one file is left, the scraping process's own."""
    first, second = sharing(), sharing()
    second.counter.labels("a").inc()
    second.end()
    assert len(files()) == 2
    first.registry.render()
    assert len(files()) == 1
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".live") == [
        "archive",
        "key",
        "merging",
    ]


def test_gauges_become_one_number_as_their_declaration_says(sharing):
    """Sums and maxima are over those that live; the latest value stays, whoever ends."""
    first, second = sharing(), sharing()
    first.gauge.labels("a").set(3)
    second.gauge.labels("a").set(4)
    first.highest.set(-7)
    second.highest.set(-5)
    first.latest.labels("a").set(1)
    second.latest.labels("a").set(2)
    lines = first.lines()
    assert (lines['open{task="a"}'], lines["highest"], lines['latest{task="a"}']) == ("7.0", "-5.0", "2.0")
    second.end()
    for _ in range(2):
        lines = first.lines()
        assert (lines['open{task="a"}'], lines["highest"], lines['latest{task="a"}']) == (
            "3.0",
            "-7.0",
            "2.0",
        )
    first.latest.labels("a").set(9)
    assert first.lines()['latest{task="a"}'] == "9.0"


def test_a_maximum_ignores_who_has_not_set_it(sharing):
    """A process that only declares a gauge does not make a negative maximum 0."""
    first, _ = sharing(), sharing()
    first.highest.set(-3)
    assert first.lines()["highest"] == "-3.0"


def test_a_series_that_was_asked_for_is_shown_as_0(sharing):
    """An explicit 0 of one process is seen in another one's scrape, also after it has ended."""
    first, second = sharing(), sharing()
    second.counter.labels("never")
    assert first.lines()['done_total{task="never"}'] == "0.0"
    second.end()
    assert first.lines()['done_total{task="never"}'] == "0.0"


def test_a_metric_that_only_another_process_declares_is_shown(sharing):
    """Name, help, labels and buckets come from the file."""
    first, second = sharing(), sharing()
    second.registry.histogram(
        MetricSpec("other_ratio", "histogram", "Another one's.", ("x",), (0.25, 0.5))
    ).labels('q"\n').observe(0.3)
    text = first.registry.render(openmetrics=True).decode()
    assert (
        "# HELP other_ratio Another one's.\n# TYPE other_ratio histogram\n# UNIT other_ratio ratio\n" in text
    )
    assert 'other_ratio_bucket{x="q\\"\\n",le="0.5"} 1\n' in text


def test_where_declarations_differ_the_scraped_process_is_right(sharing):
    """Another one's metric of the same name and other labels is not mixed in."""
    first, second = sharing(), sharing()
    first.registry.counter(MetricSpec("mine_total", "counter", "Mine.", ("a",))).labels("x").inc()
    second.registry.counter(MetricSpec("mine_total", "counter", "Mine.", ("b",))).labels("y").inc()
    assert [line for line in first.lines() if line.startswith("mine")] == ['mine_total{a="x"}']
    assert [line for line in second.lines() if line.startswith("mine")] == ['mine_total{b="y"}']


def test_exemplars_are_shown_across_processes_and_outlive_them(sharing):
    """Of each bucket the latest one is shown; a longer one replaces a shorter one."""
    first, second = sharing(), sharing()
    first.histogram.labels("a").observe(0.5, {"trace_id": "ab"})
    second.histogram.labels("a").observe(0.7, {"trace_id": "cd" * 30})
    second.histogram.labels("a").observe(5, {"trace_id": 'e"f\ud800'})
    second.counter.labels("a").inc(1, {"trace_id": "12"})
    second.counter.labels("a").inc(1, {"trace_id": "34" * 30})
    for _ in range(2):
        lines = first.lines(openmetrics=True)
        assert lines['wait_seconds_bucket{task="a",le="1.0"}'].startswith(
            '2 # {trace_id="' + "cd" * 30 + '"} 0.7 '
        )
        assert '# {trace_id="e\\"f�"} 5.0' in lines['wait_seconds_bucket{task="a",le="10.0"}']
        assert '# {trace_id="' + "34" * 30 in lines['done_total{task="a"}']
        second.end()
        first.registry.render()


def test_a_removed_series_is_gone_everywhere_and_begins_again_from_0(sharing):
    """Who goes on counting in it makes it appear with what was counted since."""
    first, second, third = sharing(), sharing(), sharing()
    for one in (first, second, third):
        one.counter.labels("a").inc(10)
        one.histogram.labels("a").observe(0.3)
        one.counter.labels("b").inc()
    third.end()
    first.registry.render()
    first.counter.remove("a")
    first.histogram.remove("a")
    for one in (first, second):
        assert not [line for line in one.lines() if 'task="a"' in line]
        assert one.lines()['done_total{task="b"}'] == "3.0"
    second.counter.labels("a").inc(0.25)
    second.histogram.labels("a").observe(7)
    first.counter.labels("a").inc(4)
    for _ in range(3):
        lines = first.lines()
        assert lines['done_total{task="a"}'] == "4.25"
        assert lines['wait_seconds_count{task="a"}'] == "1"
        assert lines['wait_seconds_sum{task="a"}'] == "7.0"
        second.end()


def test_whoever_keeps_a_removed_series_counts_where_nobody_looks(sharing):
    """Its place may have been given to another series, which must not show that."""
    one = sharing()
    kept = one.counter.labels("a")
    kept.inc()
    one.counter.remove("a")
    one.counter.labels("b").inc(5)
    kept.inc(100)
    assert one.lines()['done_total{task="b"}'] == "5.0"


def test_removing_and_asking_again_does_not_grow_the_file(sharing, folder, files):
    """The place of a removed series is given to the next one, its exemplars' too, and readers notice."""
    one, other = sharing(), sharing()
    sizes = set()
    for number in range(2_000):
        one.histogram.labels(f"task {number % 7}").observe(0.5, {"trace_id": f"{number:032x}"})
        one.gauge.labels("a").set(number)
        one.histogram.remove(f"task {number % 7}")
        one.gauge.clear()
        if number % 200 == 100:
            sizes.add(sum((folder / name).stat().st_size for name in files()))
            one.histogram.labels("left").observe(0.5)
            assert other.lines(openmetrics=True)['wait_seconds_count{task="left"}'] == "1"
            one.histogram.remove("left")
    assert len(sizes) == 1


def test_clearing_a_metric_clears_it_everywhere(sharing):
    """A metric without labels starts again at 0, one with labels without series."""
    first, second = sharing(), sharing()
    total = [one.registry.counter(MetricSpec("all_total", "counter", "All.")) for one in (first, second)]
    total[1].inc(5)
    second.counter.labels("a").inc()
    first.counter.clear()
    total[0].clear()
    assert first.lines()["all_total"] == "0.0"
    assert not [line for line in first.lines() if line.startswith("done")]
    total[1].inc(2)
    assert first.lines()["all_total"] == "2.0"


def test_a_series_that_was_removed_stays_so_when_its_process_ends(sharing):
    """What was forgotten of a living file is not remembered by the archive."""
    first, second = sharing(), sharing()
    second.counter.labels("a").inc(10)
    first.counter.remove("a")
    second.end()
    for _ in range(3):
        assert 'done_total{task="a"}' not in first.lines()


def test_a_difference_counts_what_is_under_way_in_living_processes(sharing):
    """Who is killed has nothing under way; who finishes what another one started owes nothing."""
    processes = [sharing() for _ in range(3)]
    for one in processes:
        started = one.registry.unregistered_counter(
            MetricSpec("started_total", "counter", "Half.", ("task",))
        )
        one.started = started.labels("a")
        one.gauge.labels("a").set_difference(one.started, one.histogram.labels("a"))
        one.started.inc(3)
        one.histogram.labels("a").observe(1)
    assert processes[0].lines()['open{task="a"}'] == "6.0"
    assert not [line for line in processes[0].lines() if line.startswith("started")]
    processes[1].end()
    for _ in range(2):
        assert processes[0].lines()['open{task="a"}'] == "4.0"
    for _ in range(5):
        processes[2].histogram.labels("a").observe(1)
    assert processes[0].lines()['open{task="a"}'] == "2.0"


def test_a_gauge_function_is_asked_in_the_scraped_process(sharing):
    """It sees how many series a metric has in all processes, and one that fails shows NaN."""
    first, second = sharing(), sharing()
    second.counter.labels("a")
    second.counter.labels("b")
    first.counter.labels("b")
    first.gauge.labels("size").set_function(lambda: first.registry.size(first.counter))
    first.gauge.labels("broken").set_function(lambda: 1 / 0)
    lines = first.lines()
    assert (lines['open{task="size"}'], lines['open{task="broken"}']) == ("2.0", "NaN")
    assert [type(error) for error in first.failures] == [ZeroDivisionError]


def test_an_info_is_1_however_many_say_so(sharing):
    """An info metric is 1, also when the process that set it has ended and another one knows it."""
    processes = [sharing() for _ in range(3)]
    for one in processes:
        one.registry.gauge(MetricSpec("build_info", "info", "Build.", ("version",))).labels("1").set(1)
    assert processes[0].lines()['build_info{version="1"}'] == "1.0"


def test_a_total_never_falls_when_a_process_ends(sharing):
    """Rounding does not depend on the order of the files: Prometheus would take a fall for a restart."""
    amounts = (0.1, 0.2, 0.3, 1e-9, 7e5, 0.7, 1 / 3, 1e15)
    for order in itertools.islice(itertools.permutations(range(len(amounts))), 0, 40_320, 5_000):
        watching = sharing()
        processes = [sharing() for _ in amounts]
        for one, index in zip(processes, order, strict=True):
            one.counter.labels("a").inc(amounts[index])
            one.histogram.labels("a").observe(amounts[index])
        total = watching.lines()['done_total{task="a"}']
        assert float(total) == math.fsum(amounts)
        for one in processes:
            one.end()
            lines = watching.lines()
            assert (lines['done_total{task="a"}'], lines['wait_seconds_sum{task="a"}']) == (total, total)
        watching.counter.clear()
        watching.histogram.clear()
        watching.end()


def test_the_archive_keeps_to_the_limit_of_series(sharing, folder):
    """Label values that differ in every process end in `__other__`, and the sum is right."""
    watching = sharing(series_limit=5)
    for number in range(20):
        one = sharing(series_limit=5)
        for label in range(4):
            one.counter.labels(f"{number}-{label}").inc()
        one.end()
        watching.registry.render()
    totals = {line: float(value) for line, value in watching.lines().items() if line.startswith("done")}
    assert sum(totals.values()) == 80
    assert totals['done_total{task="__other__"}'] == 75
    assert len(totals) == 6


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_finite_numbers_are_shown_as_by_one_process(sharing, value):
    """NaN spoils a sum and nothing else; infinities of both signs make NaN."""
    first, second, third = sharing(), sharing(), sharing()
    first.histogram.labels("a").observe(value)
    second.histogram.labels("a").observe(0.5)
    third.histogram.labels("a").observe(math.inf)
    expected = {"nan": "NaN", "inf": "+Inf", "-inf": "NaN"}[str(value)]
    for _ in range(3):
        assert first.lines()['wait_seconds_sum{task="a"}'] == expected
        second.end()
        third.end()
