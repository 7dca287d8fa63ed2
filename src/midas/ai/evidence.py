"""How sure an answer is: every formula that turns evidence into a probability.

A confidence is meant literally: of all answers given with 0.9, nine in ten should be right. Where a number
below is a judgement rather than a measurement, it says so and shows what follows from it.
``Store.decisions.accuracy`` compares the confidences with what users decided.
"""

from __future__ import annotations

from math import exp, log
from typing import Final

PRIOR_AGREEING: Final = 3.0
PRIOR_DISAGREEING: Final = 0.5
"""Pseudo-counts of the prior Beta(3, 1/2): before
anything is known of a merchant, its next purchase has the category of the last one in six of seven cases. A
judgement; what follows from it at the default threshold of 0.85 is what a person expects of an assistant: one
decision suffices (0.89), one contradiction in two asks again (0.73), and six agreeing decisions outweigh one
contradiction (0.86)."""

FUZZY_INTERCEPT: Final = -6.63
FUZZY_SIMILARITY: Final = 7.43
FUZZY_MARGIN: Final = 13.43
"""Logistic regression
of "the category is right" on similarity and margin, fitted to the reference merchants: each name with a typing
error, cut off, with foreign words around it, or with its spaces lost (6,000 known ones), and each name looked
up while it is missing from the list (2,600 unknown ones, weighted to count as much). The expected calibration
error there is 0.02; ``tests/unit/midas/test_matching.py`` measures it again on fresh distortions."""

TOKEN_TEMPERATURE: Final = 1.5
STATED_TEMPERATURE: Final = 2.0
"""Divisors of the log-odds ("temperature
scaling", Guo et al. 2017, On Calibration of Modern Neural Networks). Models tuned with human feedback are
overconfident in their token probabilities (OpenAI 2023, GPT-4 Technical Report, figure 8), and more so when
they are asked for a number, which is mostly between 0.8 and 1 whatever the truth (Xiong et al. 2024, Can LLMs
Express Their Uncertainty?). The values are a judgement on the safe side: a stated 0.95 becomes 0.81, which asks
the user, and a token probability of 0.95 becomes 0.88."""

_NEVER_CERTAIN: Final = 0.999
"""Log-odds of 1 are infinite; and nobody has seen enough answers of a model to claim more than 999 in 1000."""


def mapping_confidence(confirmations: int, corrections: int) -> float:
    """Give the posterior mean of a Beta-binomial: ``(c + 3) / (c + r + 3.5)``.

    Decisions about one merchant are taken as draws with an unknown share of agreement, the prior is Beta(3,
    1/2), and the share's posterior mean is the probability that the next decision agrees, too (Gelman et al.,
    Bayesian Data Analysis, chapter 2: the conjugate prior of the binomial).

    Args:
        confirmations: How often this category was decided, 0 or more.
        corrections: How often another one was, 0 or more.

    >>> round(mapping_confidence(1, 0), 2), round(mapping_confidence(1, 1), 2), round(mapping_confidence(48, 1), 2)
    (0.89, 0.73, 0.97)
    """
    return (confirmations + PRIOR_AGREEING) / (
        confirmations + corrections + PRIOR_AGREEING + PRIOR_DISAGREEING
    )


def fuzzy_confidence(similarity: float, margin: float, weight: float) -> float:
    """Give the probability that a resembling merchant's category is right.

    ``logistic(b0 + b1 * similarity + b2 * margin) * weight``: how likely the known merchant is the one that is
    meant, or at least of its kind, times the share of that merchant's purchases that belong to its category.

    Args:
        similarity: Of the best known merchant, 0..1.
        margin: Its lead over the best known merchant of any other category, 0..1.
        weight: Share of the best merchant's purchases that belong to its category, 0..1.

    >>> round(fuzzy_confidence(0.9, 0.3, 1.0), 2), round(fuzzy_confidence(0.9, 0.02, 1.0), 2)
    (0.98, 0.58)
    """
    return weight / (1.0 + exp(-(FUZZY_INTERCEPT + FUZZY_SIMILARITY * similarity + FUZZY_MARGIN * margin)))


def token_confidence(logprobs: list[float]) -> float:
    """Give the probability that a language model gave its category, from its own token probabilities.

    The probability of the whole name is the product of those of its tokens; then it is tempered.

    Args:
        logprobs: Natural logarithms of the probabilities of the tokens that spell the category.

    >>> round(token_confidence([-0.04, -0.01]), 2)
    0.88
    """
    return _tempered(exp(sum(logprobs)), TOKEN_TEMPERATURE)


def stated_confidence(stated: float) -> float:
    """Give the probability behind a confidence that a language model states about itself, 0..1, tempered.

    >>> round(stated_confidence(0.95), 2), round(stated_confidence(0.5), 2)
    (0.81, 0.5)
    """
    return _tempered(stated, STATED_TEMPERATURE)


def _tempered(probability: float, temperature: float) -> float:
    bounded = min(max(probability, 1.0 - _NEVER_CERTAIN), _NEVER_CERTAIN)
    return 1.0 / (1.0 + exp(-log(bounded / (1.0 - bounded)) / temperature))
