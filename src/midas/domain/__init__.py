"""What the assistant talks about, free of any storage or network."""

from midas.domain.categories import ASSIGNABLE, CATEGORIES, NOT_SPENDING, OTHER, UNCATEGORIZED
from midas.domain.merchants import normalise
from midas.domain.money import Money, format_amount
from midas.domain.transactions import Method, NewTransaction, Status, Transaction

__all__ = [
    "ASSIGNABLE",
    "CATEGORIES",
    "NOT_SPENDING",
    "OTHER",
    "UNCATEGORIZED",
    "Method",
    "Money",
    "NewTransaction",
    "Status",
    "Transaction",
    "format_amount",
    "normalise",
]
