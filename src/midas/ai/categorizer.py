"""Decides what a payment was for: from what is remembered, from what resembles it, and from a language model.

The three are asked in this order, and the next one only when the one before is not sure enough; so most payments
cost a look-up, and only strangers cost money.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, Protocol

from midas.ai.evidence import fuzzy_confidence, mapping_confidence
from midas.ai.matching import find_match
from midas.ai.prediction import Prediction
from midas.domain.categories import OTHER, UNCATEGORIZED
from midas.domain.merchants import SEPARATOR, UNKNOWN, normalise
from midas.errors import LanguageModelAnswerInvalid, LanguageModelError, LanguageModelTimeout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from decimal import Decimal

    from botmetry import Telemetry
    from midas.ai.language_model import Judgement, LanguageModel
    from midas.store.merchants import Candidate, Mapping

TASK: Final = "categorize_transaction"
"""Label of everything that is measured here, and the type of the queued task."""

RULES: Final = "rules"
"""Stands for the model where no language model was asked."""

SURE_ENOUGH: Final = 0.85
"""From here on nobody asks a language model; equal to the default threshold of confirming without the user."""

_NOISE: Final = 0.2
"""A guess at the commonest category of the reference list would be right about this often."""

_BETTER_THAN_NOTHING: Final = 0.5
"""A resemblance that is more likely right than wrong is kept when the language model fails."""

_CONTRADICTED: Final = 0.5
"""Factor for Income that is money spent: the name is right, and what it is usually about is not what happened."""


class MerchantMemory(Protocol):
    """What is known about merchants; ``midas.store`` has the real one."""

    async def lookup(self, user_id: int, merchant: str) -> Mapping | None:
        """Give what is known about exactly this merchant."""
        ...

    async def candidates(self, user_id: int) -> Sequence[Candidate]:
        """Give every merchant that is known."""
        ...


class Categorizer:
    """Predicts categories for one user at a time; holds no state, so one object serves a process.

    Args:
        merchants: What is known about merchants.
        llm: Asked about strangers; without one they are left to the user.
        telemetry: Where answers, confidences and fallbacks are counted.
        sure_enough: Confidence in 0..1 from which on the language model is not asked.
    """

    def __init__(
        self,
        merchants: MerchantMemory,
        llm: LanguageModel | None = None,
        telemetry: Telemetry | None = None,
        *,
        sure_enough: float = SURE_ENOUGH,
    ) -> None:
        self._merchants = merchants
        self._llm = llm
        self._telemetry = telemetry
        self._sure_enough = sure_enough

    async def categorize(
        self, user_id: int, description: str, amount: Decimal, currency: str = "EUR"
    ) -> Prediction:
        """Predict the category of a payment.

        A language model that fails costs nothing but itself: the best resemblance is given if it is more likely
        right than wrong, else ``Other`` when the model is down or answers nonsense and ``Uncategorized`` when it
        is too slow, both with confidence 0 and method ``none``.

        Raises:
            StoreUnavailable: What is known about merchants cannot be read.
        """
        with self._measured(RULES) as operation:
            known = await self._from_rules(user_id, description, amount)
            if self._llm is None or known.confidence >= self._sure_enough:
                if operation is not None:
                    operation.confidence = known.confidence
                return known
        return await self._from_model(self._llm, description, amount, currency, known)

    async def _from_rules(self, user_id: int, description: str, amount: Decimal) -> Prediction:
        merchant = normalise(description)
        if merchant == UNKNOWN:
            return Prediction(OTHER, 0.0, "none", "the bank wrote nothing about it")
        # A stranger's name says less than what the payment says it is for: "Hans Meier | Miete Hauptstr. 3".
        purpose = normalise(description.partition(SEPARATOR)[2])
        for name in dict.fromkeys((merchant, purpose, purpose.partition(" ")[0])):
            mapping = await self._merchants.lookup(user_id, name) if name != UNKNOWN else None
            if mapping is not None:
                return _weighed(_remembered(name, mapping), amount)
        match = await find_match(merchant, await self._merchants.candidates(user_id))
        if match is None:
            return Prediction(OTHER, 0.0, "none", "no merchant is known")
        confidence = fuzzy_confidence(match.similarity, match.margin, match.weight)
        if confidence < _NOISE:
            return Prediction(OTHER, 0.0, "none", f"nothing that is known resembles {merchant}")
        evidence = f"resembles {match.merchant} by {match.similarity:.0%}, {match.margin:.0%} ahead of others"
        return _weighed(Prediction(match.category, confidence, "fuzzy", evidence), amount)

    async def _from_model(
        self, llm: LanguageModel, description: str, amount: Decimal, currency: str, known: Prediction
    ) -> Prediction:
        try:
            with self._measured(llm.model) as operation:
                judgement = await llm.judge(description, amount, currency)
                answer = _better(known, judgement, llm.model)
                if operation is not None:
                    operation.confidence = answer.confidence
        except LanguageModelError as error:
            return self._without_model(error, known, llm.model)
        return answer

    def _without_model(self, error: LanguageModelError, known: Prediction, model: str) -> Prediction:
        reason = _reason(error)
        if self._telemetry is not None:
            self._telemetry.ai.fallback(TASK, reason)
        if known.confidence >= _BETTER_THAN_NOTHING:
            return known
        category = UNCATEGORIZED if reason == "timeout" else OTHER
        return Prediction(category, 0.0, "none", str(error), model)

    def _measured(self, model: str) -> AbstractContextManager[Any]:
        if self._telemetry is None:
            return nullcontext()
        return self._telemetry.ai.task(TASK, model=model)


def _remembered(merchant: str, mapping: Mapping) -> Prediction:
    decisions = mapping.confirmations + mapping.corrections
    evidence = f"{merchant} was {mapping.category} in {mapping.confirmations} of {decisions} decisions"
    confidence = mapping_confidence(mapping.confirmations, mapping.corrections)
    return Prediction(mapping.category, confidence, "mapping", evidence)


def _better(known: Prediction, judgement: Judgement, model: str) -> Prediction:
    """Give the more confident of the two answers; they read the same text, so agreeing proves nothing more."""
    if known.confidence > judgement.confidence:
        return known
    return Prediction(judgement.category, judgement.confidence, "llm", judgement.evidence, model)


def _weighed(prediction: Prediction, amount: Decimal) -> Prediction:
    if prediction.category == "Income" and amount < 0:
        return Prediction(
            prediction.category,
            prediction.confidence * _CONTRADICTED,
            prediction.method,
            f"{prediction.evidence}, but money was spent",
        )
    return prediction


def _reason(error: LanguageModelError) -> str:
    if isinstance(error, LanguageModelTimeout):
        return "timeout"
    return "bad_answer" if isinstance(error, LanguageModelAnswerInvalid) else "unavailable"
