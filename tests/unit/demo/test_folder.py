"""The data folder belongs to one demo at a time, and only what the demo made is ever removed."""

import json

import pytest

from midas.demo.errors import WrongCall
from midas.demo.folder import DataFolder


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path):
    """Two demos would write into each other's databases."""
    first = DataFolder(tmp_path)
    first.take()
    with pytest.raises(WrongCall, match=r"another demo runs in .*--data"):
        DataFolder(tmp_path).take()
    first.give_back()
    second = DataFolder(tmp_path)
    second.take()
    second.give_back()


def test_the_default_folder_starts_afresh_and_keeps_its_logs(tmp_path, monkeypatch):
    """Databases go at the end, logs stay to be read, and the next demo begins with neither."""
    monkeypatch.chdir(tmp_path)
    folder = DataFolder(None)
    folder.take()
    (folder.place("redis") / "data").write_text("x")
    (folder.logs / "bot.jsonl").write_text("{}")
    folder.give_back()
    assert not (tmp_path / ".demo" / "redis").exists()
    assert (tmp_path / ".demo" / "logs" / "bot.jsonl").exists()
    again = DataFolder(None)
    again.take()
    assert list(again.logs.iterdir()) == []
    again.give_back()


def test_a_chosen_folder_keeps_its_databases_and_what_else_is_in_it(tmp_path):
    """A person's folder loses nothing."""
    (tmp_path / "holiday.jpg").write_text("x")
    for _ in range(2):
        folder = DataFolder(tmp_path)
        folder.take()
        (folder.place("postgres") / "data").write_text("x")
        folder.give_back()
    assert (tmp_path / "holiday.jpg").exists()
    assert (tmp_path / "postgres" / "data").exists()


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    """The folder and the remedy are named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(WrongCall, match=r"cannot write into .*--data"):
        DataFolder(tmp_path / "file").take()


def test_the_note_of_the_stores_is_readable_by_its_owner_only_and_gone_afterwards(tmp_path):
    """The databases' passwords are in it."""
    folder = DataFolder(tmp_path)
    folder.take()
    folder.note_stores({"REDIS_URL": "redis://:secret@127.0.0.1:1/0"})
    note = tmp_path / "stores.json"
    assert note.stat().st_mode & 0o777 == 0o600
    assert json.loads(note.read_text()) == {"REDIS_URL": "redis://:secret@127.0.0.1:1/0"}
    folder.give_back()
    assert not note.exists()
