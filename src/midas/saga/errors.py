# ruff: noqa: N818 -- an error is named for what happened, as its relatives in midas.errors
"""What can go wrong with sagas; what goes wrong within a saga is its result, and no exception.

::

    MidasError
    ├── SagaError
    │   ├── SagaDefinitionError (ValueError)  the steps cannot be a saga: nothing was sent
    │   ├── InvalidContext (ValueError)       a context that cannot be kept: its values, its type or its size
    │   ├── UnreadableContext                 a saga's context is not of the type that this program has for it
    │   ├── UnreadableSaga                    its record was written by a newer program, or damaged
    │   ├── SagaUnknown (LookupError)         no saga has this id, or it ended longer ago than it is kept
    │   ├── NotPossible                       what was asked for does not go with the saga's state
    │   ├── OwnershipLost                     another process has taken the saga over: what we said was refused
    │   └── OrchestratorClosed                this process has left its sagas to others
    └── Terminal                              raised by an action: it failed, and trying again is of no use
"""

from __future__ import annotations

from midas.errors import MidasError


class SagaError(MidasError):
    """Something about sagas."""


class SagaDefinitionError(SagaError, ValueError):
    """The steps cannot be a saga; nothing was sent."""


class InvalidContext(SagaError, ValueError):
    """A context cannot be kept: a value that cannot be encoded, another type than was declared, or too many bytes.

    Attributes:
        rest: Where steps side by side contradict each other: the context with all that they do agree on, encoded.
    """

    def __init__(self, message: str, rest: bytes | None = None) -> None:
        super().__init__(message)
        self.rest = rest


class UnreadableContext(SagaError):
    """What was kept as a saga's context is not of the type that this program has for its release.

    The saga is fine: it is suspended, for a program that has the right type.
    """


class UnreadableSaga(SagaError):
    """What is kept of a saga says something that this program does not know: it was written by a newer one, or damaged.

    Attributes:
        saga_id: Which saga.
        reason: What cannot be read.
    """

    def __init__(self, saga_id: str, reason: str) -> None:
        super().__init__(
            f"saga {saga_id} cannot be read: {reason}; it was written by a newer program, or damaged: look at it, and "
            f"run it, with the newest"
        )
        self.saga_id = saga_id
        self.reason = reason


class SagaUnknown(SagaError, LookupError):
    """No saga has this id, or it ended longer ago than sagas are kept."""

    def __init__(self, saga: str, saga_id: str) -> None:
        super().__init__(
            f"there is no saga {saga_id} called {saga}: it was never begun, or is no longer kept"
        )
        self.saga = saga
        self.saga_id = saga_id


class NotPossible(SagaError):
    """What was asked for does not go with the state the saga is in.

    Attributes:
        saga_id: Which saga.
        state: The state it is in.
    """

    def __init__(self, saga_id: str, state: str, reason: str) -> None:
        super().__init__(f"saga {saga_id} is {state}: {reason}")
        self.saga_id = saga_id
        self.state = state


class OwnershipLost(SagaError):
    """Another process has taken the saga over, so nothing this one says about it is written any more."""

    def __init__(self, saga_id: str, epoch: int) -> None:
        super().__init__(f"saga {saga_id} is not owned under epoch {epoch} any more")
        self.saga_id = saga_id
        self.epoch = epoch


class OrchestratorClosed(SagaError):
    """This orchestrator was closed: it begins nothing and waits for nothing; its sagas go on in other processes."""

    def __init__(self, saga: str) -> None:
        super().__init__(f"this orchestrator of {saga} was closed; what it ran is left to other processes")
        self.saga = saga


class Terminal(MidasError):
    """Raised by an action that failed for a reason that will not pass, such as a refused payment: no retry."""
