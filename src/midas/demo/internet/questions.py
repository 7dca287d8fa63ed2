"""What somebody wants to know from the model: the payment and the categories, found in the messages of a completion."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from midas.demo.internet.evidence import KNOWN_CATEGORIES

_LABELLED = re.compile(
    r"^[\s*\-\"']*(?:bank\s+)?(?:description|booking text|transaction|payment|text)[\"']?\s*[:=]\s*(?P<text>.+)$",
    re.IGNORECASE | re.MULTILINE,
)
_FEWEST_CATEGORIES = 3  # fewer names in a text are not a list to choose from


@dataclass(frozen=True, slots=True)
class Question:
    """Which of these categories is this payment?"""

    description: str
    categories: tuple[str, ...]


def read_question(messages: Sequence[dict[str, Any]]) -> Question | None:
    """Return what is asked, or None when it is not the category of a payment."""
    texts = [text for message in messages for text in _texts(message)]
    offered = tuple(
        name for name in KNOWN_CATEGORIES if any(re.search(rf"\b{name}\b", text) for text in texts)
    )
    asked = [text for message in messages if message.get("role") == "user" for text in _texts(message)]
    if len(offered) < _FEWEST_CATEGORIES or not asked:
        return None
    return Question(_description(asked[-1]), offered)


def _texts(message: dict[str, Any]) -> Iterable[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        yield from (str(part.get("text", "")) for part in content if isinstance(part, dict))


def _description(text: str) -> str:
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if isinstance(fields, dict):
        named = [
            fields[key] for key in ("description", "merchant", "text") if isinstance(fields.get(key), str)
        ]
        if named:
            return " ".join(named)
    labelled = _LABELLED.search(text)
    return labelled["text"] if labelled else text
