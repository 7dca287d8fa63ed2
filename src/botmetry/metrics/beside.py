"""The collectors of others that are exposed with ours: what prometheus_client has, in the same exposition.

No name may be shown twice, because parsers refuse that. What is known of a collector without collecting it, which may
take long, is compared when it is registered and when a metric of ours is declared; the rest at each scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from threading import local
from typing import Final, Protocol

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest as generate_latest_openmetrics

from botmetry.errors import MetricError

__all__ = ["EOF", "Beside", "Collector"]

EOF: Final = b"# EOF\n"

_ENDINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "counter": ("_total", "_created"),
    "summary": ("_sum", "_count", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "info": ("_info",),
}
"""What the samples of prometheus_client's families are called, as its registry reserves them."""


class Collector(Protocol):
    """What prometheus_client calls a collector."""

    def collect(self) -> Iterable[Family]:
        """Return the families with their samples."""
        ...  # a protocol has no body


class Beside:
    """Holds the collectors of others.

    Args:
        ours: What shows our metrics; a registry of others may have it in it.
        taken: The names that our metrics have.
        failed: Called with the name of a family that cannot be shown, and why.

    Attributes:
        process: Collectors of the process itself, shown unless another one brings the same families.
    """

    def __init__(
        self, ours: Collector, taken: Container[str], failed: Callable[[str, BaseException], None]
    ) -> None:
        self.process: list[Collector] = []
        self._ours = ours
        self._taken = taken
        self._failed = failed
        self._registered: dict[Collector, frozenset[str]] = {}
        self._collecting = local()

    def described(self, collector: Collector) -> frozenset[str]:
        """Return the names that a collector is known to have."""
        names = self._names_in_registry(collector)
        if names is not None:
            return names
        describe = getattr(collector, "describe", None)
        return (
            frozenset(name for family in describe() for name in _names(family)) if describe else frozenset()
        )

    def register(self, collector: Collector, names: frozenset[str]) -> None:
        """Show a collector that has these names; twice is once.

        Raises:
            MetricError: One of the names is shown already.
        """
        if collector in self._registered:
            return
        for name in sorted(names):
            if name in self._taken:
                raise MetricError(
                    name,
                    f"is a name of botmetry's, and the {type(collector).__name__} that is to be registered has it as "
                    "well; parsers refuse what is shown twice: give it another name there, or serve it by itself",
                )
            self.refuse(name, (name,))
        self._registered[collector] = names

    def unregister(self, collector: Collector) -> None:
        """Take back `register`."""
        del self._registered[collector]

    def refuse(self, metric: str, names: tuple[str, ...]) -> None:
        """Raise a MetricError for `metric` when a collector that is registered has one of these names."""
        for collector, described in self._registered.items():
            current = self._names_in_registry(collector)
            known = described if current is None else current
            for name in names:
                if name in known:
                    raise MetricError(
                        metric,
                        f"the {type(collector).__name__} that is registered here has {name} already, and parsers "
                        "refuse what is shown twice: choose another name, or unregister that one",
                    )

    def render(self, *, openmetrics: bool) -> bytes:
        """Return the exposition of all these, without the end that OpenMetrics has."""
        if not openmetrics:
            return generate_latest(self)
        text: bytes = generate_latest_openmetrics(self)  # type: ignore[no-untyped-call]
        return text.removesuffix(EOF)

    def collect(self) -> Iterator[Family]:
        """Yield the families of all collectors, those of the process last."""
        seen: set[str] = set()
        for family in self.families(for_theirs=False):
            seen.add(family.name)
            yield family
        for collector in self.process:
            yield from (family for family in collector.collect() if family.name not in seen)

    def families(self, *, for_theirs: bool) -> list[Family]:
        """Collect what is registered here, without what has a name of ours.

        A registry may be registered here and have us in it as well. Then what is collected for it leaves out what it
        exposes itself.
        """
        found: list[Family] = []
        for collector in tuple(self._registered):
            self._collecting.asked = False
            try:
                families = list(collector.collect())
                if not (for_theirs and self._collecting.asked):
                    found += families
            finally:
                del self._collecting.asked
        return [family for family in found if self._may_be_shown(family)]

    def asked_meanwhile(self) -> bool:
        """Note that we are asked for our metrics; tell whether that comes from what is being collected here."""
        if not hasattr(self._collecting, "asked"):
            return False
        self._collecting.asked = True
        return True

    def _names_in_registry(self, collector: Collector) -> frozenset[str] | None:
        """Return the names that a prometheus_client registry has at this moment, or None if it is none.

        The registry has no public way to ask for them that does not collect; where a version of it keeps them
        elsewhere, clashes are found at the scrape.
        """
        kept = getattr(collector, "_names_to_collectors", None)
        if not isinstance(kept, dict):
            return None
        return frozenset(name for name, owner in dict(kept).items() if owner is not self._ours)

    def _may_be_shown(self, family: Family) -> bool:
        name = next((name for name in _names(family) if name in self._taken), None)
        if name is None:
            return True
        reason = f"a collector that is registered here shows {name}, a name of botmetry's; it is left out"
        self._failed(family.name, MetricError(family.name, reason))
        return False


def _names(family: Family) -> tuple[str, ...]:
    return (family.name, *(family.name + ending for ending in _ENDINGS.get(family.type, ())))
