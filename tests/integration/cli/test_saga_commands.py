"""`midas saga` on a real Redis: sagas of several kinds are found, shown, and decided about."""

import asyncio
import json

import pytest
import redis

from midas.cli import main
from midas.saga import SagaConfig, SagaOrchestrator, SagaStep, StepKind, Terminal


@pytest.fixture(name="midas")
def _midas(redis_url, monkeypatch, capsys, tmp_path):
    """Give a function that calls `midas` and returns its exit code, its answer and its complaint."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = main(arguments)
        printed = capsys.readouterr()
        return code, printed.out.strip(), printed.err.strip()

    return call


def _nothing(_):
    return None


def _broken(_):
    raise Terminal("the bank said no")


@pytest.fixture(name="sagas")
def _sagas(redis_url):
    """One saga that completed, one that could not be undone, and one that stands still after its pivot."""

    async def prepare():
        def config(name):
            return SagaConfig(redis_url=redis_url, name=name, compensation_retries=0)

        async with SagaOrchestrator([SagaStep("file", _nothing)], config("import")) as done:
            await done.execute({"file": "a.csv"}, saga_id="done")
        stuck = [SagaStep("reserve", _nothing, _broken), SagaStep("debit", _broken)]
        async with SagaOrchestrator(stuck, config("transfer")) as transfers:
            await transfers.execute(saga_id="stuck")
        parked = [SagaStep("pay", _nothing, kind=StepKind.PIVOT), SagaStep("tell", _broken)]
        async with SagaOrchestrator(parked, config("payment")) as payments:
            await payments.execute(saga_id="parked")

    asyncio.run(prepare())


def test_sagas_are_listed(midas, sagas):
    """All kinds together, or those of one state or one kind; for a program as JSON."""
    code, answer, _ = midas("saga", "ls")
    assert code == 0
    assert answer.splitlines()[0].split() == ["ID", "SAGA", "STATE", "AGE", "STEP", "ERROR"]
    assert {line.split()[0] for line in answer.splitlines()[1:]} == {"done", "stuck", "parked"}
    only = midas("saga", "ls", "--state", "compensation_failed")[1].splitlines()[1:]
    assert [line.split()[:3] for line in only] == [["stuck", "transfer", "COMPENSATION_FAILED"]]
    data = json.loads(midas("saga", "ls", "--name", "import", "--json")[1])
    assert [(saga["saga_id"], saga["context"]) for saga in data] == [("done", {"file": "a.csv"})]


def test_a_saga_is_shown_with_its_steps_and_history(midas, sagas):
    """Its state, why it is in it, each step, and each transition."""
    code, answer, _ = midas("saga", "show", "stuck")
    assert code == 0
    for word in (
        "transfer stuck",
        "COMPENSATION_FAILED",
        "the bank said no",
        "not undone",
        "reserve",
        "COMPENSATING",
    ):
        assert word in answer
    data = json.loads(midas("saga", "show", "stuck", "--json")[1])
    assert data["not_undone"] == ["reserve"]
    assert data["steps"]["reserve"]["attempts"] == 1
    assert data["history"]


def test_a_person_decides(midas, sagas):
    """What could not be undone is skipped and then undone; what is past its pivot is resolved by hand."""
    assert midas("saga", "skip", "stuck", "reserve") == (0, "transfer stuck goes on without reserve", "")
    assert midas("saga", "resolve", "parked", "--note", "told by phone") == (0, "payment parked is ended", "")
    assert json.loads(midas("saga", "show", "parked", "--json")[1])["state"] == "COMPLETED"


def test_what_stands_still_is_resumed(midas, sagas):
    """It runs again as soon as a process looks after sagas of its kind."""
    assert midas("saga", "resume", "parked") == (0, "payment parked tries again what failed", "")
    assert json.loads(midas("saga", "show", "parked", "--json")[1])["state"] == "RUNNING"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("saga", "show", "nobody"), ("no saga nobody", "midas saga ls")),
        (("saga", "show", "no body"), ("'no body'",)),
        (("saga", "abort", "done"), ("done", "COMPLETED")),
        (("saga", "abort", "stuck"), ("stuck", "COMPENSATION_FAILED", "resume, skip or resolve it")),
        (("saga", "resume", "done"), ("does not stand still",)),
        (("saga", "skip", "stuck", "fly"), ("fly",)),
        (("saga", "ls", "--name", "fly"), ("fly", "import, payment, transfer")),
    ],
)
def test_a_wrong_call_is_one_line(midas, sagas, arguments, words):
    """The line says what does not exist or cannot be done, and the exit code is 2."""
    code, answer, complaint = midas(*arguments)
    assert (code, answer, len(complaint.splitlines())) == (2, "", 1)
    for word in words:
        assert word in complaint


def test_without_sagas_there_is_nothing_to_list(midas):
    """An empty Redis is no error."""
    assert midas("saga", "ls") == (0, "no sagas", "")
    assert json.loads(midas("saga", "ls", "--json")[1]) == []


def test_one_that_cannot_be_read_hides_no_others(midas, sagas, redis_url):
    """It is listed as what it is, for people and for programs; who wants to see it is told what to do."""
    with redis.Redis.from_url(redis_url) as client:
        client.hset("{saga:import}:saga:done", "step:file", '{"state": "FROM_A_NEWER_PROGRAM"}')
    code, answer, _ = midas("saga", "ls")
    lines = {line.split()[0]: line for line in answer.splitlines()[1:]}
    assert code == 0
    assert lines.keys() == {"done", "stuck", "parked"}
    assert "unreadable: " in lines["done"]
    assert "FROM_A_NEWER_PROGRAM" in lines["done"]
    listed = {saga["saga_id"]: saga for saga in json.loads(midas("saga", "ls", "--json")[1])}
    assert [listed[saga_id]["is_readable"] for saga_id in ("done", "stuck", "parked")] == [False, True, True]
    code, _, complaint = midas("saga", "show", "done")
    assert code == 2
    assert "saga done cannot be read" in complaint
    assert "with the newest" in complaint
