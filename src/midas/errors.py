# ruff: noqa: N818 -- an error is named for what happened (StoreUnavailable, TaskTimeout); the suffix would repeat the base class
"""Every exception that midas raises on purpose, each one clear line for a person.

::

    MidasError
    ├── SettingsError (ValueError)            a setting is missing or has an impossible value
    ├── StatementError (ValueError)           a bank statement cannot be read: path, line, reason
    ├── StoreError
    │   ├── StoreUnavailable (ConnectionError)  PostgreSQL does not answer
    │   ├── MigrationError                    a migration is missing, changed or does not apply
    │   ├── UnknownTransaction (LookupError)  there is no such transaction of this user
    │   └── UnknownImport (LookupError)       no file is kept for this import
    ├── ImportFailed                          an import was undone or stands still: name, reason
    ├── TransferRefused (ValueError)          money cannot be moved like this: nothing was
    │   └── NotEnoughMoney                    carries card, available and wanted
    ├── TransferUnsettled                     money was neither moved nor given back: carries transfer_id
    ├── UnknownCategory (ValueError)          a category that does not exist
    ├── LanguageModelError
    │   ├── LanguageModelUnavailable (ConnectionError)
    │   ├── LanguageModelTimeout (TimeoutError)
    │   └── LanguageModelAnswerInvalid (ValueError)
    ├── QueueError
    │   ├── QueueUnavailable (ConnectionError)  Redis does not answer
    │   └── TaskError                         carries task_id
    │       ├── TaskFailed                    carries reason
    │       ├── TaskTimeout (TimeoutError)
    │       ├── TaskUnknown (LookupError)
    │       └── ResultExpired (LookupError)
    └── ConfirmationError                     carries confirmation_id
        ├── AlreadyDecided
        ├── ConfirmationExpired
        ├── NotYours
        └── Unknown (LookupError)

Folders that could be lifted out, and ends that nobody imports, have branches of their own: `midas.redis.errors`
(UnsafeServer, NotDurable), `midas.queue.errors` (InvalidTask, UnreadableTask, LeaseLost …), `midas.saga.errors`
(SagaError, Terminal …), `midas.bot.errors` (BotError) and `midas.demo.errors` (DemoError).

The message says what happened, with which value, and what to do; a secret is never part of it.
"""

from __future__ import annotations

from typing import Any


class MidasError(Exception):
    """Root of the tree: what a command line shows as one line instead of a traceback.

    Classes for mistakes of users say so to the telemetry by their ``log_level``.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are copied by calling them with their message; ours take other arguments.
        return _copy, (type(self), self.args, self.__dict__)


class SettingsError(MidasError, ValueError):
    """A setting is missing or has an impossible value.

    Attributes:
        name: The environment variable.
        reason: What is wrong with it, and what would be right.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class StatementError(MidasError, ValueError):
    """A bank statement cannot be read; nothing of it was stored.

    Attributes:
        path: Name of the file as the user gave it.
        line: Line number counted from 1, or None where the whole file is meant.
        reason: What is wrong there.
    """

    log_level = "info"

    def __init__(self, path: str, line: int | None, reason: str) -> None:
        where = path if line is None else f"{path}, line {line}"
        super().__init__(f"{where}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


class StoreError(MidasError):
    """Something about the PostgreSQL database."""


class StoreUnavailable(StoreError, ConnectionError):
    """PostgreSQL does not answer, refuses us, or went away in the middle; the same call may work later.

    Attributes:
        place: ``host:port/database``, without user and password.
        reason: What PostgreSQL or the network said.
    """

    def __init__(self, place: str, reason: str, advice: str = "start it or correct DATABASE_URL") -> None:
        super().__init__(f"PostgreSQL at {place} is not available ({reason}): {advice}")
        self.place = place
        self.reason = reason


class MigrationError(StoreError):
    """A migration is missing, was changed after it had been applied, or does not apply.

    Attributes:
        file: Name of the migration file, or of the folder.
        reason: What is wrong with it.
    """

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"migration {file}: {reason}")
        self.file = file
        self.reason = reason


class UnknownTransaction(StoreError, LookupError):
    """There is no such transaction, or it belongs to somebody else: the two look the same on purpose."""

    def __init__(self, transaction_id: int) -> None:
        super().__init__(f"there is no transaction {transaction_id}")
        self.transaction_id = transaction_id


class UnknownImport(StoreError, LookupError):
    """No file is kept for this import: it has ended, or was never begun."""

    def __init__(self, import_id: str) -> None:
        super().__init__(f"no statement is kept for {import_id}")
        self.import_id = import_id


class ImportFailed(MidasError):
    """An import could not be finished.

    Attributes:
        name: The file's name.
        reason: What went wrong, and what became of what was stored.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} could not be imported: {reason}")
        self.name = name
        self.reason = reason


class TransferRefused(MidasError, ValueError):
    """Money cannot be moved like this, and none was; the message says why."""

    log_level = "info"


class NotEnoughMoney(TransferRefused):
    """A card does not hold what somebody wants to move.

    Attributes:
        card: What it is called.
        available: What can be spent from it.
        wanted: What was to be moved.
    """

    def __init__(self, card: str, available: object, wanted: object) -> None:
        super().__init__(f"{card} holds {available}, and you want to move {wanted}")
        self.card = card
        self.available = str(available)
        self.wanted = str(wanted)


class TransferUnsettled(MidasError):
    """A transfer stands still between two states that are right; people have to decide."""

    def __init__(self, transfer_id: str) -> None:
        super().__init__(f"transfer {transfer_id} could not be settled yet; somebody has to look after it")
        self.transfer_id = transfer_id


class UnknownCategory(MidasError, ValueError):
    """A category that does not exist.

    Attributes:
        name: What was asked for.
        suggestion: The nearest existing category, or None when none is near.
    """

    log_level = "info"

    def __init__(self, name: str, suggestion: str | None = None) -> None:
        hint = f"; did you mean {suggestion}?" if suggestion else ""
        super().__init__(f"there is no category {name!r}{hint}")
        self.name = name
        self.suggestion = suggestion


class LanguageModelError(MidasError):
    """The language model gave no usable answer."""


class LanguageModelUnavailable(LanguageModelError, ConnectionError):
    """The language model cannot be reached, refuses the key, or answers with an error."""


class LanguageModelTimeout(LanguageModelError, TimeoutError):
    """The language model did not answer in time."""


class LanguageModelAnswerInvalid(LanguageModelError, ValueError):
    """The language model answered with something else than what was asked for."""


class QueueError(MidasError):
    """Something about the task queue."""


class QueueUnavailable(QueueError, ConnectionError):
    """Redis does not answer; the same call may work later.

    Attributes:
        place: ``host:port/database`` or the socket's path, without user and password.
        reason: What Redis or the network said.
    """

    def __init__(self, place: str, reason: str, advice: str = "start it or correct REDIS_URL") -> None:
        super().__init__(f"Redis at {place} is not available ({reason}): {advice}")
        self.place = place
        self.reason = reason


class TaskError(QueueError):
    """One task has no result to give; carries its ``task_id``."""

    happened = "has no result"

    def __init__(self, task_id: str, detail: str = "") -> None:
        super().__init__(f"task {task_id} {self.happened}{f': {detail}' if detail else ''}")
        self.task_id = task_id


class TaskFailed(TaskError):
    """The task's function raised; ``reason`` is what the worker reported."""

    happened = "failed"

    def __init__(self, task_id: str, reason: str) -> None:
        super().__init__(task_id, reason)
        self.reason = reason


class TaskTimeout(TaskError, TimeoutError):
    """The task did not finish within its time."""

    happened = "did not finish in time"


class TaskUnknown(TaskError, LookupError):
    """No task with this id was ever enqueued."""

    happened = "was never enqueued"


class ResultExpired(TaskError, LookupError):
    """The task finished, and its result was kept for its time and is gone."""

    happened = "finished, and its result is no longer kept"


class ConfirmationError(MidasError):
    """A confirmation cannot be decided; carries its ``confirmation_id``."""

    log_level = "info"

    happened = "cannot be decided"

    def __init__(self, confirmation_id: str, detail: str = "") -> None:
        super().__init__(f"confirmation {confirmation_id} {self.happened}{f': {detail}' if detail else ''}")
        self.confirmation_id = confirmation_id


class AlreadyDecided(ConfirmationError):
    """Somebody, perhaps the same user's first click, decided before."""

    happened = "was already decided"


class ConfirmationExpired(ConfirmationError):
    """The confirmation waited longer than it may."""

    happened = "has expired"


class NotYours(ConfirmationError):
    """The confirmation asks another user."""

    happened = "asks somebody else"


class Unknown(ConfirmationError, LookupError):
    """No confirmation with this id exists."""

    happened = "does not exist"


def _copy(kind: type[MidasError], args: tuple[object, ...], attributes: dict[str, object]) -> MidasError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error
