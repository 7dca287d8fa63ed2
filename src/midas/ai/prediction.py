"""What the categorizer answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midas.domain.transactions import Method


@dataclass(frozen=True, slots=True)
class Prediction:
    """A category with the probability that it is right, and where both come from."""

    category: str
    """A name of ``midas.domain.categories``."""
    confidence: float
    """Probability in 0..1, computed as ``midas.ai.evidence`` says."""
    method: Method
    evidence: str
    """One phrase for a person: what the answer rests on."""
    model: str = "none"
    """The language model that was asked, or ``none``."""
