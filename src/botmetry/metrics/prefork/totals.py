"""Adds up what several files say of one metric.

Every sum is exact before it is rounded once (`math.fsum`). Added one after the other, rounding would depend on the
order of the files; a total could fall by its last digit when a process ends, and Prometheus takes any fall of a
counter for a restart, and adds the whole counter to the increase.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from botmetry.metrics.prefork.definitions import Definition
from botmetry.metrics.prefork.reading import Difference, Labels, Part, Row
from botmetry.metrics.series import Exemplar
from botmetry.metrics.spec import Across

__all__ = ["Cells", "Forgotten", "Totals", "counter_total", "gauge_value", "histogram_state", "reduced"]

Cells: TypeAlias = list[float]
Forgotten: TypeAlias = Mapping[tuple[str, int, int], Cells]


class Totals:
    """The series of several files, by metric and label values; each with the cells of every file that has it.

    Attributes:
        rows: The cells.
        exemplars: The latest exemplar of each bucket, by metric and label values.
        differences: Gauges that are a difference.
        living: The parts of processes that live.
    """

    def __init__(self) -> None:
        self.rows: dict[Definition, dict[Labels, list[Cells]]] = {}
        self.exemplars: dict[tuple[Definition, Labels], dict[int, Exemplar]] = {}
        self.differences: dict[Definition, Difference] = {}
        self.living: list[Part] = []

    def add(self, part: Part, *, living: bool, forgotten: Forgotten) -> None:
        """Add a file.

        Args:
            part: What it says.
            living: Whether its process lives; of one that ended, gauges count only where the latest value stays.
            forgotten: The cells of records at the time they were removed, by file and place.
        """
        if living:
            self.living.append(part)
        for definition, rows in part.rows.items():
            into = self.rows.setdefault(definition, {})
            if living or definition.spec.kind in _SUMS or definition.spec.across == "latest":
                _add_rows(definition, into, part, rows, forgotten)
        for difference in part.differences:
            self.differences[difference.gauge] = difference
        self._add_exemplars(part)

    def of_difference(self, difference: Difference) -> dict[Labels, float]:
        """Return a difference by label values, summed over the processes that live.

        A process that was forked inside a `with` block finishes what it has not started, which counts as nothing.
        """
        found = {
            labels: 0.0
            for definition, rows in self.rows.items()
            if definition.spec.name == difference.started
            for labels in rows
        }
        for part in self.living:
            finished = {
                row.labels: sum(part.cells[row.start : row.stop - 2])
                for row in _rows_of(part, difference.finished)
            }
            for row in _rows_of(part, difference.started):
                number = part.cells[row.start] - finished.get(row.labels, 0.0)
                found[row.labels] = found.get(row.labels, 0.0) + max(0.0, number)
        return found

    def _add_exemplars(self, part: Part) -> None:
        for of, bucket, start, end in part.exemplars:
            exemplar = part.exemplar(start, end)
            if exemplar is None or of not in part.labels:
                continue
            kept = self.exemplars.setdefault(part.labels[of], {})
            if bucket not in kept or kept[bucket].timestamp <= exemplar.timestamp:
                kept[bucket] = exemplar


def counter_total(contributions: Iterable[Cells]) -> float:
    """Return the total of a counter."""
    return _sum(number for cells in contributions for number in cells)


def histogram_state(contributions: list[Cells]) -> tuple[list[int], float]:
    """Return the counts of each bucket and the sum of all values of a histogram."""
    *columns, totals, rests = zip(*contributions, strict=True)
    try:
        counts = list(map(int, map(sum, columns)))
    except (OverflowError, ValueError):  # a count that is no number: the file was damaged
        counts = [0] * len(columns)
    return counts, _sum((*totals, *rests))


def gauge_value(across: Across, contributions: list[Cells]) -> float:
    """Return the one number that a gauge of several processes shows."""
    if across == "sum":
        return _sum(cells[0] for cells in contributions)
    if across == "latest":
        return max(contributions, key=lambda cells: cells[1])[0]
    # A process that has not set it yet has no say, or a gauge that is negative everywhere would be 0.
    return max((cells[0] for cells in contributions if cells[1]), default=0.0)


def reduced(definition: Definition, contributions: list[Cells]) -> Cells:
    """Return the cells of one series that says the same as several."""
    if definition.spec.kind not in _SUMS:
        return max(contributions, key=lambda cells: cells[1])
    if len(contributions) == 1:
        return contributions[0]
    *columns, totals, rests = zip(*contributions, strict=True)
    return [*map(sum, columns), *_rounded((*totals, *rests))]


_SUMS = frozenset({"counter", "histogram"})


def _add_rows(
    definition: Definition,
    into: dict[Labels, list[Cells]],
    part: Part,
    rows: Iterable[Row],
    forgotten: Forgotten,
) -> None:
    cells, sums = part.cells, definition.spec.kind in _SUMS
    for labels, place, start, stop in rows:
        numbers: Cells = cells[start:stop].tolist()  # type: ignore[assignment]  # typeshed knows bytes alone
        if forgotten and (before := forgotten.get((part.name, *place))) is not None:
            if numbers == before:
                continue
            if sums:
                numbers = [*map(float.__sub__, numbers[:-2], before[:-2]), *_less(numbers, before)]
        contributions = into.get(labels)
        if contributions is None:
            into[labels] = [numbers]
        else:
            contributions.append(numbers)


def _less(numbers: Cells, before: Cells) -> Cells:
    return _rounded((*numbers[-2:], -before[-2], -before[-1]))


def _rounded(terms: tuple[float, ...]) -> Cells:
    """Return the sum, and what rounding took from it."""
    total = _sum(terms)
    rest = _sum((*terms, -total))
    return [total, rest if math.isfinite(rest) else 0.0]


def _rows_of(part: Part, name: str) -> Iterable[Row]:
    return (row for definition, rows in part.rows.items() if definition.spec.name == name for row in rows)


def _sum(numbers: Iterable[float]) -> float:
    terms = list(numbers)
    try:
        return math.fsum(terms)
    except (OverflowError, ValueError):  # beyond the largest float, or infinities of both signs
        return sum(terms)
