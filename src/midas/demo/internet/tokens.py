"""Tokens and their probabilities as a completion reports them, cut the simple way: words, numbers and signs."""

import math
import re
from typing import Any

from midas.demo.internet.evidence import Judgement

_TOKEN = re.compile(r"\s?[A-Za-z]+|\d+|\s?[^\sA-Za-z\d]|\s+")
_CERTAIN = math.log(0.999)


def count_tokens(text: str) -> int:
    """Return how many tokens a text has, about four characters each as in real vocabularies."""
    return len(_TOKEN.findall(text))


def token_probabilities(text: str, judgement: Judgement | None) -> list[dict[str, Any]]:
    """Return the `logprobs.content` of an answer: the category's token carries the judgement's confidence."""
    entries = []
    for token in _TOKEN.findall(text):
        decided = judgement is not None and token.strip() == judgement.category
        logprob = math.log(max(judgement.confidence, 1e-6)) if judgement and decided else _CERTAIN
        entries.append(
            {"token": token, "logprob": logprob, "bytes": list(token.encode()), "top_logprobs": []}
        )
    return entries
