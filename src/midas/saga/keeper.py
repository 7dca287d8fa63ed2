"""Renews the leases of the sagas of one process, and learns which are somebody else's by now or to be undone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from midas.redis import LeaseThread
from midas.saga.calls import Held
from midas.saga.ownership import Ownership

if TYPE_CHECKING:
    import redis

    from midas.redis import Availability, Call
    from midas.saga.calls import Calls


class SagaKeeper(LeaseThread[Held]):
    """Keeps the leases of the sagas it is told to hold; ``start`` and ``close`` it.

    Args:
        client: A Redis client that nobody else uses. The keeper closes it.
        calls: Builds the renewal.
        availability: Is told whether Redis answers.
        lease_seconds: How long a lease lasts.
        on_news: Called in the keeper's thread with a saga and what its owner is to be told; must not block.
    """

    def __init__(
        self,
        client: redis.Redis,
        calls: Calls,
        availability: Availability,
        lease_seconds: float,
        on_news: Callable[[Held, Callable[[Ownership], None]], None],
    ) -> None:
        super().__init__("saga keeper", client, availability)
        self._calls = calls
        self._lease_seconds = lease_seconds
        self._on_news = on_news

    def hold(self, saga: Held) -> None:
        """Renew this lease from now on."""
        self._keep(saga, saga, self._lease_seconds)

    def drop(self, saga: Held) -> None:
        """Renew it no more; nothing happens if it is not held."""
        self._let_go(saga)

    def _renewal(self, held: Sequence[Held], /) -> Call:
        return self._calls.renew(held)

    def _heard(self, held: Sequence[Held], reply: tuple[Sequence[int], Sequence[int]], /) -> None:
        lost, aborts = ([held[place] for place in places] for places in reply)
        for saga in lost:
            if self._let_go(saga):  # else it ended while the renewal was under way
                self._on_news(saga, Ownership.lose)
        for saga in aborts:
            if self._keeps(saga):
                self._on_news(saga, Ownership.abort)
