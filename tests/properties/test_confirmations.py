"""Whatever users click in whatever order, each question has one end, and the counts say how many wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import redis as redis_client
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from botmetry import LogSettings, Telemetry
from midas.confirmations import (
    AlreadyDecided,
    Confirmation,
    ConfirmationExpired,
    ConfirmationService,
    NotYours,
)
from midas.demo.servers import RedisServer
from midas.redis import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

TTL = 100.0
USERS = (1, 2)


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


class ConfirmationMachine(RuleBasedStateMachine):
    """Two processes serve two users, who are asked, decide, click again, and let time pass."""

    asked = Bundle("asked")

    def __init__(self, url: str) -> None:
        super().__init__()
        self.now = 1_800_000_000.0
        self.waiting: dict[str, Confirmation] = {}
        self.ends: dict[str, str] = {}
        self.runner = asyncio.Runner()
        self.telemetry = Telemetry(service="model", log=LogSettings(output="none"))
        self.plain = redis_client.Redis.from_url(url)
        self.plain.flushall()
        self.clients = [connect(url), connect(url)]
        self.services = [
            ConfirmationService(client, self.telemetry, TTL, clock=lambda: self.now)
            for client in self.clients
        ]

    def teardown(self) -> None:
        for client in self.clients:
            self.runner.run(client.aclose())
        self.runner.close()
        self.plain.close()
        self.telemetry.close()

    @rule(
        target=asked,
        process=st.sampled_from([0, 1]),
        user=st.sampled_from(USERS),
        transaction=st.integers(1, 5),
    )
    def ask(self, process, user, transaction):
        # A transaction belongs to one user.
        number = user * 100 + transaction
        given = self.runner.run(self.services[process].create(user, number, "Groceries", 0.5, "LIDL"))
        earlier = [c for c in self.waiting.values() if c.transaction_id == number and self._is_open(c)]
        if earlier:
            assert given == earlier[0]
        else:
            assert given.id not in self.waiting
            self.waiting[given.id] = given
        return given

    @rule(
        confirmation=asked,
        process=st.sampled_from([0, 1]),
        user=st.sampled_from(USERS),
        category=st.sampled_from([None, "Groceries", "Rent"]),
    )
    def decide(self, confirmation, process, user, category):
        service = self.services[process]
        if category is None:
            call = service.confirm(confirmation.id, user)
        else:
            call = service.correct(confirmation.id, user, category)
        end = self.ends.get(confirmation.id)
        if user != confirmation.user_id:
            with pytest.raises(NotYours):
                self.runner.run(call)
        elif end in {"confirmed", "corrected"}:
            with pytest.raises(AlreadyDecided, match=end):
                self.runner.run(call)
        elif end == "expired" or not self._is_open(confirmation):
            with pytest.raises(ConfirmationExpired):
                self.runner.run(call)
        else:
            decided = self.runner.run(call)
            del self.waiting[confirmation.id]
            self.ends[confirmation.id] = decided.status.value
            assert decided.status == ("corrected" if category == "Rent" else "confirmed")

    @rule(seconds=st.sampled_from([1.0, 49.0, 99.999, 100.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(process=st.sampled_from([0, 1]))
    def sweep(self, process):
        found = self.runner.run(self.services[process].expire_due())
        due = {c.id for c in self.waiting.values() if not self._is_open(c)}
        assert {confirmation.id for confirmation in found} == due
        assert len(found) == len(due)
        for confirmation_id in due:
            del self.waiting[confirmation_id]
            self.ends[confirmation_id] = "expired"

    @invariant()
    def what_waits_is_listed_and_counted(self):
        service = self.services[0]
        still_open = [c for c in self.waiting.values() if self._is_open(c)]
        assert self.runner.run(service.pending_count()) == len(still_open)
        for user in USERS:
            mine = {c.id for c in still_open if c.user_id == user}
            assert self.runner.run(service.pending_count(user)) == len(mine)
            assert {c.id for c in self.runner.run(service.pending(user))} == mine

    @invariant()
    def no_id_outlives_its_confirmation(self):
        for user in USERS:
            for confirmation_id in self.plain.zrange(f"user_pending:{user}", 0, -1):
                assert self.plain.exists(f"confirmation:{confirmation_id.decode()}")

    @invariant()
    def every_end_is_counted_once(self):
        samples = [s for family in self.telemetry.registry.collect() for s in family.samples]
        counted = {
            s.labels["outcome"]: s.value for s in samples if s.name == "confirmations_total" and s.value
        }
        ends = list(self.ends.values())
        assert counted == {end: ends.count(end) for end in set(ends)}

    def _is_open(self, confirmation: Confirmation) -> bool:
        return self.now * 1000 < confirmation.expires_at_ms


def test_confirmations_behave_as_their_model(server):
    """One end a question, whoever clicks what when; nothing listed that is over; counts that add up."""
    run_state_machine_as_test(
        lambda: ConfirmationMachine(server.url),
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
