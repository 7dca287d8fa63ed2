"""The people who use the bot: they arrive in a seeded rhythm, each visit running by itself."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, date, datetime

from midas.demo.internet.accounts import Account
from midas.demo.internet.dialects import DIALECTS
from midas.demo.internet.exchange import Exchange
from midas.demo.internet.faults import Faults
from midas.demo.internet.pace import Pace
from midas.demo.internet.people import Person, make_person
from midas.demo.internet.rhythm import Rhythm
from midas.demo.internet.visits import Visit

PEAK_VISITS = 0.75
"""Visits a second at the busiest hour. A visit sends about five updates, so the bot then answers four a second."""
DAY_SECONDS = 600.0  # a day in ten minutes: long enough that a five-minute window sees day and night differ
NEWCOMER_SHARE = 0.12
MOST_PEOPLE = 2_000  # known by name; when more came, a newcomer takes the place of the longest forgotten
MOST_VISITS = 60  # at once; a bot that does not answer must not pile up visitors without end

_LOG = logging.getLogger(__name__)


class Population:
    """Everybody who knows the bot, and the clock of their arrivals."""

    def __init__(
        self,
        exchange: Exchange,
        faults: Faults,
        seed: int,
        *,
        users: int = 150,
        speed: float = 1.0,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        """Create the regulars.

        Args:
            exchange: The messenger they use.
            faults: Under `silence` nobody comes and everybody goes.
            seed: The same seed gives the same people, arrivals and choices.
            users: How many regulars there are from the start, 1 or more.
            speed: How many of their seconds pass in one of ours.
            today: The last day that statements cover.
        """
        self._exchange = exchange
        self._faults = faults
        self._seed = seed
        self._luck = random.Random(f"{seed}/arrivals")  # noqa: S311 - a population, not a secret
        self._pace = Pace(speed)
        self._rhythm = Rhythm(PEAK_VISITS, DAY_SECONDS)
        self._today = today
        self._people = [make_person(seed, number, DIALECTS) for number in range(users)]
        self._born = users
        self._visits: dict[int, asyncio.Task[None]] = {}
        self.visits_begun = 0
        self.arrivals = 0
        faults.listen(self._react_to_switch)

    @property
    def users(self) -> int:
        """How many different people have existed so far."""
        return self._born

    @property
    def visiting(self) -> int:
        """How many people are at it right now."""
        return len(self._visits)

    async def run(self) -> None:
        """Let people come until cancelled; the first one comes when the bot has asked for updates."""
        try:
            await self._exchange.mailbox.polled.wait()
            started = time.monotonic()
            due = 0.0
            while True:
                due = self._rhythm.next_arrival(due, self._luck)
                await asyncio.sleep(max(0.0, started + self._pace.real(due) - time.monotonic()))
                self.arrive()
        finally:
            await self._send_home()

    def arrive(self) -> Person | None:
        """Begin one visit, unless there is silence, a crowd, or the person is already here; return who came."""
        self.arrivals += 1
        person = self.next_person()
        if "silence" in self._faults or len(self._visits) >= MOST_VISITS or person.user_id in self._visits:
            return None
        self.visits_begun += 1
        account = Account(self._exchange, person.user_id, person.first_name)
        visit = Visit(person, account, self._pace, self._faults, self._today())
        task = asyncio.create_task(visit.run(), name=f"visit of {person.user_id}")
        self._visits[person.user_id] = task
        task.add_done_callback(lambda done: self._leave(person, done))
        return person

    def next_person(self) -> Person:
        """Return who comes next: somebody new, or a regular, the eager ones more often."""
        if self._luck.random() >= NEWCOMER_SHARE:
            return self._luck.choices(self._people, weights=[person.eagerness for person in self._people])[0]
        newcomer = make_person(self._seed, self._born, DIALECTS)
        self._born += 1
        self._people.append(newcomer)
        if len(self._people) > MOST_PEOPLE:
            self._people.pop(0)
        return newcomer

    def _leave(self, person: Person, done: asyncio.Task[None]) -> None:
        self._visits.pop(person.user_id, None)
        if not done.cancelled() and done.exception() is not None:
            _LOG.error("a visit ended in an error", exc_info=done.exception())

    def _react_to_switch(self) -> None:
        if "silence" in self._faults:
            for visit in self._visits.values():
                visit.cancel()

    async def _send_home(self) -> None:
        visits = list(self._visits.values())
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
