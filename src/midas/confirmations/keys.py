"""Every Redis key of the confirmations, and nowhere else.

``confirmation:{id}`` and ``user_pending:{user_id}`` are a contract with other programs. They carry no hash tag, so
confirmations need a Redis that is one server (with replicas, if you like) and no Cluster.
"""

from __future__ import annotations

from typing import Final

OPEN: Final = "confirmations:open"
"""Hash: id -> document, of those that wait."""
DUE: Final = "confirmations:due"
"""Sorted set: id by expiry in ms, of those that wait."""
TRANSACTIONS: Final = "confirmations:transactions"
"""Hash: transaction -> id, of those that wait."""
EXPIRY_LEASE: Final = "confirmations:lease:expiry"
"""Held by the process that looks for expired ones, so that one does it at a time."""


def document(confirmation_id: str) -> str:
    """The key of one confirmation: JSON."""
    return f"confirmation:{confirmation_id}"


def user_pending(user_id: int) -> str:
    """The key of a user's waiting confirmations: a sorted set, id by expiry in ms."""
    return f"user_pending:{user_id}"


def all_of(confirmation_id: str, user_id: int) -> tuple[str, ...]:
    """The keys that every script is given, in the order in which ``prelude.lua`` names them."""
    return (document(confirmation_id), OPEN, DUE, user_pending(user_id), TRANSACTIONS)
