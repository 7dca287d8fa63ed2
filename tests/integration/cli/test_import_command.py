"""`midas import` on a real PostgreSQL and Redis: what it says of a person's own statement."""

import json

import pytest

from midas.cli import main

STATEMENT = "Date,Description,Amount,Currency\n2026-11-01,LIDL 1234 BERLIN,-23.45,EUR\n"


@pytest.fixture(name="bring_in")
def _bring_in(postgres_url, redis_url, monkeypatch, capsys, tmp_path):
    """Give a function that writes a file and imports it beside a running demo; it returns code, answer, complaint."""
    for variable in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".demo").mkdir()
    stores = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url}
    (tmp_path / ".demo" / "stores.json").write_text(json.dumps(stores))

    def bring_in(name, text):
        (tmp_path / name).write_text(text)
        code = main(["import", name, "--user", "4711"])
        printed = capsys.readouterr()
        return code, printed.out.strip(), printed.err.strip()

    return bring_in


def test_an_import_is_told_in_one_line(bring_in):
    """How many were found, were new, were known already and go to the AI; the same file again adds nothing."""
    told = "november.csv: 1 transaction found, {} new, {} known already, {} on their way to the AI"
    assert bring_in("november.csv", STATEMENT) == (0, told.format(1, 0, 1), "")
    assert bring_in("november.csv", STATEMENT) == (0, told.format(0, 1, 0), "")
    more = STATEMENT + "2026-11-02,NETFLIX,-12.99,EUR\n"
    assert bring_in("more.csv", more)[1].startswith("more.csv: 2 transactions found, 1 new, 1 known already")


def test_a_broken_statement_leaves_what_was_stored(bring_in):
    """One line with the line of the file, exit code 2; what came before is known still, and nothing came in besides."""
    assert bring_in("november.csv", STATEMENT)[0] == 0
    code, answer, complaint = bring_in("december.csv", STATEMENT + "2026-12-xx,NETFLIX,-12.99,EUR\n")
    assert (code, answer) == (2, "")
    assert complaint.startswith("midas import: december.csv, line 3: '2026-12-xx'")
    assert "0 new, 1 known already" in bring_in("november.csv", STATEMENT)[1]
