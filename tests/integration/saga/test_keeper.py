"""However many leases a thread keeps, each has its turn."""

from __future__ import annotations

import threading

from midas.demo.ports import free_port
from midas.redis import Availability, connect, connect_from_thread
from midas.saga import SagaConfig
from midas.saga.calls import Calls, Held
from midas.saga.keeper import SagaKeeper

LEASE_SECONDS = 6.6
"""A third of it is more than twice the second that passes between two attempts: those that failed are due again within
the moment in which others go along."""


class Watched(Calls):
    """Takes note of whose leases a renewal names."""

    def __init__(self, most: int) -> None:
        super().__init__(SagaConfig(), None)
        self.named = set()
        self.enough = threading.Event()
        self._most = most

    def renew(self, held):
        self.named.update(held)
        if len(self.named) == self._most:
            self.enough.set()
        return super().renew(held)


async def test_while_redis_is_away_none_is_tried_at_the_cost_of_others(telemetry):
    """Of more leases than one call renews, the first ones are not tried again and again before the last."""
    nowhere = f"redis://127.0.0.1:{free_port()}"
    calls = Watched(450)
    async with connect(nowhere) as client:
        availability = Availability(client, telemetry)
        thread_client = connect_from_thread(nowhere)
        with SagaKeeper(thread_client, calls, availability, LEASE_SECONDS, lambda *_: None) as keeper:
            for number in range(450):
                keeper.hold(Held(f"s{number}", "1", 1, "o"))
            assert calls.enough.wait(60)
