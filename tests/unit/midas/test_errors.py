"""Errors are one line for a person, and stay what they are on their way."""

import copy
import pickle

import pytest

from midas import errors

SAMPLES = [
    errors.SettingsError("LOG_LEVEL", "is wrong"),
    errors.StatementError("a.csv", 3, "is broken"),
    errors.StatementError("a.csv", None, "is broken"),
    errors.StoreUnavailable("localhost:5432/midas", "connection refused"),
    errors.MigrationError("001_a.sql", "was changed"),
    errors.UnknownTransaction(7),
    errors.UnknownImport("import-7-1"),
    errors.ImportFailed("a.csv", "the disk is full"),
    errors.TransferRefused("you have no card 4021"),
    errors.NotEnoughMoney("•4021", "1.00 EUR", "2.00 EUR"),
    errors.TransferUnsettled("transfer-7-1"),
    errors.UnknownCategory("grocerys", "Groceries"),
    errors.LanguageModelTimeout("too slow"),
    errors.QueueUnavailable("localhost:6379/0", "connection refused"),
    errors.TaskFailed("t1", "ValueError"),
    errors.TaskTimeout("t1"),
    errors.TaskUnknown("t1"),
    errors.ResultExpired("t1"),
    errors.AlreadyDecided("c1"),
    errors.ConfirmationExpired("c1"),
    errors.NotYours("c1"),
    errors.Unknown("c1"),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_the_message_is_one_line(error):
    """A command line can print any of them as it is."""
    assert isinstance(error, errors.MidasError)
    assert str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_being_copied_and_sent(error):
    """Errors cross process pools and are copied by tools; they keep message and attributes."""
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(twin), str(twin), vars(twin)) == (type(error), str(error), vars(error))


def test_the_tree_in_the_docstring_is_the_tree():
    """Every class of the module is drawn in its docstring."""
    classes = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    ]

    assert [name for name in classes if name not in errors.__doc__] == []
