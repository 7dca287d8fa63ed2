"""The closed list of categories.

Closed, because a category is a label of a metric, a choice on a keyboard, and all that a language model may answer.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from midas.errors import UnknownCategory

OTHER: Final = "Other"
UNCATEGORIZED: Final = "Uncategorized"

CATEGORIES: Final[tuple[str, ...]] = (
    "Groceries",
    "Restaurants",
    "Transport",
    "Travel",
    "Shopping",
    "Entertainment",
    "Subscriptions",
    "Utilities",
    "Housing",
    "Health",
    "Insurance",
    "Education",
    "Donations",
    "Cash",
    "Fees",
    "Taxes",
    "Transfers",
    "Income",
    OTHER,
    UNCATEGORIZED,
)

ASSIGNABLE: Final[tuple[str, ...]] = tuple(name for name in CATEGORIES if name != UNCATEGORIZED)
"""What a person or a model may choose: everything but the mark of an undecided transaction."""

NOT_SPENDING: Final = frozenset({"Transfers", "Income"})
"""Money that changes pockets; left out of what somebody spends."""

_BY_FOLDED: Final = {name.casefold(): name for name in CATEGORIES}


def find(text: str) -> str:
    """Give the assignable category that a person means, whatever the case of the letters.

    An unambiguous beginning of three letters or more is enough: ``rest`` is Restaurants.

    Raises:
        UnknownCategory: There is none; carries the nearest one as a suggestion.
    """
    folded = " ".join(text.split()).casefold()
    exact = _BY_FOLDED.get(folded)
    if exact is not None and exact != UNCATEGORIZED:
        return exact
    shortest = 3
    begun = [name for name in ASSIGNABLE if len(folded) >= shortest and name.casefold().startswith(folded)]
    if len(begun) == 1:
        return begun[0]
    near = get_close_matches(folded, [name.casefold() for name in ASSIGNABLE], n=1, cutoff=0.6)
    raise UnknownCategory(text, _BY_FOLDED[near[0]] if near else None)
