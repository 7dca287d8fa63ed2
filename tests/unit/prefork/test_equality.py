"""The same operations, done by one process or spread over several, are shown as the same."""

from __future__ import annotations

import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from botmetry.metrics import MetricSpec, Registry
from botmetry.metrics.prefork import InFolder

PROCESSES = st.integers(0, 3)
LABELS = st.sampled_from(["a", 'b"\\', "ç\n", "%d"])
AMOUNTS = st.integers(1, 4_000_000).map(lambda quarters: quarters / 4)  # whose sums are exact
OPERATIONS = st.one_of(
    st.tuples(st.just("inc"), PROCESSES, LABELS, AMOUNTS),
    st.tuples(st.just("observe"), PROCESSES, LABELS, AMOUNTS),
    st.tuples(st.just("set"), PROCESSES, LABELS, AMOUNTS),
    st.tuples(st.just("remove"), PROCESSES, LABELS),
    st.tuples(st.just("clear"), PROCESSES),
    st.tuples(st.just("scrape"), PROCESSES),
    st.tuples(st.just("end"), PROCESSES),
)


class Process:
    """One process's registry, or the one that does everything."""

    def __init__(self, folder: str | None) -> None:
        self.keeping = None if folder is None else InFolder(folder, self.fail)
        self.registry = Registry(
            series_limit=None,
            failed=lambda _, error: self.fail(error),
            overflowed=lambda _: None,
            keeping=self.keeping,
        )
        self.counter = self.registry.counter(MetricSpec("done_total", "counter", "Done.", ("task",)))
        self.all = self.registry.counter(MetricSpec("all_total", "counter", "All."))
        self.histogram = self.registry.histogram(
            MetricSpec("wait_seconds", "histogram", "Waited.", ("task",), (1.0, 1e3, 1e5))
        )
        self.latest = self.registry.gauge(
            MetricSpec("latest", "gauge", "Latest.", ("task",), across="latest")
        )

    def fail(self, error: BaseException) -> None:
        raise AssertionError("nothing may fail here") from error

    def do(self, name: str, *arguments) -> None:
        """Do an operation that is about metrics."""
        if name == "inc":
            self.counter.labels(arguments[0]).inc(arguments[1])
            self.all.inc(arguments[1])
        elif name == "observe":
            self.histogram.labels(arguments[0]).observe(arguments[1])
        elif name == "set":
            self.latest.labels(arguments[0]).set(arguments[1])
        else:
            for metric in (self.counter, self.histogram, self.latest):
                getattr(metric, name)(*arguments)

    def shown(self) -> list[str]:
        """Return the exposition's lines; the order of series is nobody's promise."""
        return sorted(self.registry.render(openmetrics=True).decode().splitlines())


@given(st.lists(OPERATIONS, max_size=60))
@settings(max_examples=60, deadline=None)
def test_spread_over_processes_that_begin_and_end_operations_show_the_same(operations):
    """Wherever the scrape is made, whoever has ended, and whatever was removed in between."""
    with tempfile.TemporaryDirectory() as folder:
        alone = Process(None)
        processes = [Process(folder) for _ in range(4)]
        for name, index, *arguments in operations:
            if name == "scrape":
                assert processes[index].shown() == alone.shown()
            elif name == "end":
                processes[index].keeping._ledger._renew()
                processes[index] = Process(folder)
            else:
                alone.do(name, *arguments)
                processes[index].do(name, *arguments)
        for process in processes:
            assert process.shown() == alone.shown()
