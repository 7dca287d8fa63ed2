"""Which known merchant an unknown name resembles most.

Statement texts distort names in few ways: letters are lost or swapped, the text is cut off, spaces vanish, and
words come before or after the name. ``similarity`` scores each of these and keeps the best.
"""

from __future__ import annotations

import asyncio
import re
from heapq import nlargest
from typing import TYPE_CHECKING, Final, NamedTuple

from rapidfuzz import fuzz, process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midas.store.merchants import Candidate

SLICE: Final = 2000
"""Names compared in one go: about 5 ms, which an event loop can spare. More are compared in a thread, slice by
slice, because rapidfuzz keeps the interpreter to itself while it works on one."""

_SHORTLIST: Final = 40
"""Names that are scored closely; of 8,700 distorted names, none had its best match below the 33rd place."""

_SPLIT: Final = re.compile(r"[ ./&*+-]+")

# Scores of the distortions relative to an exact match, on a scale of 100. Only their order matters: what they
# mean as a probability is measured by the regression in ``midas.ai.evidence``.
_REORDERED: Final = 0.98
_LEADING_WORDS: Final = 70.0
_INNER_WORDS: Final = 55.0
_COVERAGE: Final = 25.0
_LETTERS: Final = 5.0
_SHORTEST_STUMP: Final = 5


class Match(NamedTuple):
    """The known merchant that resembles the name most."""

    merchant: str
    category: str
    similarity: float
    """0..1."""
    margin: float
    """Lead in 0..1 over the most similar merchant of any other category."""
    weight: float
    """Share in 0..1 of the merchant's purchases that belong to the category."""


async def find_match(merchant: str, candidates: Sequence[Candidate]) -> Match | None:
    """Give the known merchant that resembles `merchant` most, or None when there are no candidates.

    Few candidates are compared at once; many in a thread, so that the event loop goes on.
    """
    if len(candidates) <= SLICE:
        return best_of(merchant, _shortlist(merchant, candidates))
    shortlist: list[tuple[float, Candidate]] = []
    for part in _slices(candidates):
        found = await asyncio.to_thread(_shortlist, merchant, part)
        shortlist = nlargest(_SHORTLIST, [*shortlist, *found], key=lambda scored: scored[0])
    return best_of(merchant, shortlist)


def best_of(merchant: str, shortlist: Sequence[tuple[float, Candidate]]) -> Match | None:
    """Score the shortlisted candidates closely and give the best with its lead over other categories."""
    scored = sorted(
        ((similarity(merchant, candidate.merchant), candidate) for _, candidate in shortlist),
        key=lambda pair: (-pair[0], pair[1].merchant),
    )
    if not scored:
        return None
    best, candidate = scored[0]
    rival = max((score for score, other in scored if other.category != candidate.category), default=0.0)
    return Match(candidate.merchant, candidate.category, best, best - rival, candidate.weight)


def similarity(name: str, known: str) -> float:
    """Give how much two normalised names resemble each other, 0..1: the best of the ways a name gets distorted."""
    return (
        max(
            fuzz.ratio(name, known),
            fuzz.ratio(name.replace(" ", ""), known.replace(" ", "")) * _REORDERED,
            fuzz.token_sort_ratio(name, known) * _REORDERED,
            _words_inside(name, known),
            _cut_off(name, known),
        )
        / 100.0
    )


def _words_inside(name: str, known: str) -> float:
    """Score a known name whose words all stand in the text, better at its beginning and if little else is there."""
    words, wanted = _words(name), _words(known)
    if not wanted or not all(word in words for word in wanted):
        return 0.0
    letters = sum(map(len, wanted))
    share = min(1.0, letters / sum(map(len, words)))
    start = _LEADING_WORDS if words[: len(wanted)] == wanted else _INNER_WORDS
    # A name of ten letters does not stand in a text by chance; one of two may.
    return start + _COVERAGE * share + min(_LETTERS, letters / 2)


def _cut_off(name: str, known: str) -> float:
    """Score a text that is the beginning of a known name."""
    if len(name) < _SHORTEST_STUMP or not known.startswith(name):
        return 0.0
    return 70.0 + 30.0 * len(name) / len(known)


def _words(name: str) -> list[str]:
    return [word for word in _SPLIT.split(name) if word]


def _shortlist(merchant: str, candidates: Sequence[Candidate]) -> list[tuple[float, Candidate]]:
    names = [candidate.merchant for candidate in candidates]
    found = process.extract(merchant, names, scorer=fuzz.WRatio, limit=_SHORTLIST)
    return [(score, candidates[index]) for _, score, index in found]


def _slices(candidates: Sequence[Candidate]) -> list[Sequence[Candidate]]:
    return [candidates[start : start + SLICE] for start in range(0, len(candidates), SLICE)]
