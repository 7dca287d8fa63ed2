"""Every Redis key of the sagas, built from their name and nowhere else.

All keys of one kind of saga carry the hash tag ``{saga:<name>}``, so a Redis Cluster holds them in one slot and a
script may touch all of them, each of which is declared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from midas.saga.errors import SagaDefinitionError
from midas.saga.states import SagaState

NAMES: Final = "sagas:names"
"""Set: the names of all kinds of saga that ever ran here, for people who look."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@dataclass(frozen=True, slots=True)
class SagaKeys:
    """The keys of one kind of saga.

    Attributes:
        name: A lower-case letter, then up to 63 lower-case letters, digits, ``_`` and ``-``.
    """

    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SagaDefinitionError(
                f"a saga is called like 'import' or 'card-transfer' and not {self.name!r}"
            )

    def saga(self, saga_id: str) -> str:
        """Hash: everything about one saga; ``step:<name>`` holds a step, ``signal:<name>`` what a signal brought."""
        return f"{self._tag}:saga:{saga_id}"

    def history(self, saga_id: str) -> str:
        """List: the transitions of one saga, a line each."""
        return f"{self._tag}:history:{saga_id}"

    def due(self, release: str) -> str:
        """Sorted set: sagas of one release by the end of their lease or wait, ms; who is past it needs an owner."""
        return f"{self._tag}:due:{release}"

    @property
    def counters(self) -> str:
        """Hash: how often what happened, whichever processes have died since."""
        return f"{self._tag}:counters"

    @property
    def releases(self) -> str:
        """Set: the releases of which sagas were begun."""
        return f"{self._tag}:releases"

    @property
    def channel(self) -> str:
        """The pub/sub channel on which the id of a saga is said that changed its state."""
        return f"{self._tag}:news"

    def index(self, state: SagaState) -> str:
        """Sorted set: the sagas in one state by the moment they got there, ms."""
        return f"{self._tag}:in:{state}"

    def own(self, saga_id: str, release: str) -> tuple[str, ...]:
        """The keys that are one saga's: with ``common`` what its scripts are given, in the order of ``prelude.lua``."""
        return self.saga(saga_id), self.history(saga_id), self.due(release)

    @property
    def common(self) -> tuple[str, ...]:
        """The keys that all sagas of the name share."""
        return self.counters, self.releases, *map(self.index, SagaState)

    @property
    def _tag(self) -> str:
        return f"{{saga:{self.name}}}"


def check_id(saga_id: str) -> str:
    """Give the id, if it can be one.

    Raises:
        SagaDefinitionError: It cannot.
    """
    if not _ID.fullmatch(saga_id):
        raise SagaDefinitionError(
            f"a saga id is 1 to 128 letters, digits and any of _.:- and not {saga_id!r}"
        )
    return saga_id
