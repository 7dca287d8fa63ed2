"""Imports as sagas: whoever dies, a file is imported wholly or not at all, and its user hears of it once."""

import asyncio

import pytest
import pytest_asyncio

from midas.ai import Prediction
from midas.errors import ImportFailed
from midas.queue import TaskQueue, Worker
from midas.saga import SagaConfig, SagaOversight, SagaState, Terminal
from midas.sync import StatementImports, SyncService
from midas.sync.imports import IMPORTS
from midas.sync.notices import TELL_IMPORTED, notices_config

from .test_import import CSV, HEADER, ROWS

CHAT = 77


@pytest.fixture(name="make_imports")
def _make_imports(store, queue, confirmations, redis_url, telemetry):
    """Make what a process has to run imports; each call is another process."""
    return lambda: StatementImports(store, queue, confirmations, redis_url, telemetry)


@pytest_asyncio.fixture(name="imports")
async def _imports(make_imports):
    async with make_imports() as imports:
        yield imports


@pytest.fixture(name="through_saga")
def _through_saga(store, queue, categorizer, confirmations, telemetry, imports):  # noqa: PLR0917
    """The service as it runs: with a queue, and with sagas."""
    return SyncService(store, queue, categorizer, confirmations, telemetry, imports=imports)


@pytest_asyncio.fixture(name="notices")
async def _notices(redis_url):
    async with TaskQueue(notices_config(redis_url)) as notices:
        yield notices


@pytest_asyncio.fixture(name="sagas")
async def _sagas(redis_url):
    async with SagaOversight(SagaConfig(redis_url=redis_url, name=IMPORTS)) as oversight:
        yield oversight


async def rows(store, table):
    return (await store.database.row(f"SELECT count(*) AS count FROM {table}"))["count"]


async def told(notices):
    """The notices that wait, by their ids."""
    found = {}

    def note(task):
        found[task.id] = task.payload

    await Worker(notices, {TELL_IMPORTED: note}).run(until_empty=True)
    return found


async def test_an_import_runs_as_a_saga_and_leaves_no_file(  # noqa: PLR0917
    through_saga, store, queue, sagas, notices, sample
):
    """The report is the same as without; the tasks are in line, one notice waits, and the file is thrown away."""
    report = await through_saga.import_statement(1, "october.csv", CSV, CHAT)

    assert (report.found, report.new, report.duplicates, report.queued, report.told) == (5, 5, 0, 5, True)
    assert await queue.get_queue_size() == 5
    (saga,) = await sagas.list()
    assert saga.state is SagaState.COMPLETED
    assert saga.steps.keys() == {"store_file", "parse", "insert", "enqueue", "notify"}
    assert [await rows(store, table) for table in ("statement_files", "imported_transactions")] == [0, 0]
    (notice,) = (await told(notices)).values()
    assert (notice["chat_id"], notice["name"], notice["new"]) == (CHAT, "october.csv", 5)
    assert len(notice["transaction_ids"]) == 5
    assert [str(money) for money in await store.reports.balance(1)] == ["908.56 EUR"]
    assert sample("transactions_synced_total", source="csv") == 5
    assert sample("saga_finished_total", saga=IMPORTS, outcome="completed") == 1


async def test_the_same_statement_again_adds_nothing(through_saga, queue):
    """A second import is another saga, reports duplicates and queues nothing."""
    await through_saga.import_statement(1, "october.csv", CSV)
    report = await through_saga.import_statement(1, "copy.csv", CSV)

    assert (report.found, report.new, report.duplicates, report.queued, report.told) == (5, 0, 5, 0, False)
    assert await queue.get_queue_size() == 5


@pytest.mark.parametrize("step", ["_store_file", "_parse", "_insert", "_enqueue", "_notify"])
async def test_another_process_finishes_what_one_left(  # noqa: PLR0917
    make_imports, store, queue, categorizer, confirmations, sagas, notices, monkeypatch, step
):
    """A process that stops in any step, its effect done, leaves the rest to another: all is done, and once."""
    reached = asyncio.Event()
    original = getattr(StatementImports, step)

    async def stop_after(self, context):
        await original(self, context)
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(StatementImports, step, stop_after)
        first = make_imports()
    async with first:
        sync = SyncService(store, queue, categorizer, confirmations, imports=first)
        importing = asyncio.create_task(sync.import_statement(1, "october.csv", CSV, CHAT))
        await asyncio.wait_for(reached.wait(), 60)
        importing.cancel()
    async with make_imports() as second:
        assert await second._sagas.recover() == 1

    (saga,) = await sagas.list()
    assert saga.state is SagaState.COMPLETED
    categorizing = []
    async with asyncio.timeout(60):
        while (task := await queue.dequeue_task("w", 0.01)) is not None:
            categorizing.append(task.id)
    assert len(categorizing) == len(set(categorizing)) == 5
    assert len(await store.transactions.recent(1)) == 5
    assert list(await told(notices)) == [f"{saga.saga_id}-done"]
    assert await rows(store, "sync_runs") == 1
    assert await rows(store, "statement_files") == 0


@pytest.mark.parametrize("chat", [None, CHAT])
async def test_an_import_whose_process_died_before_the_file_was_stored_never_was(
    make_imports, store, sagas, notices, chat
):
    """Nobody has the file, so the saga ends undone, nothing is stored, and who handed it in is told so, once."""
    async with make_imports() as imports:
        context = {"user_id": 1, "name": "a.csv", "chat_id": chat}
        await imports._sagas.start(context, saga_id="import-1")
        assert await imports._sagas.recover() == 1

    assert (await sagas.show("import-1")).state is SagaState.FAILED
    assert await rows(store, "transactions") == 0
    expected = [] if chat is None else [("import-1-undone", "a.csv", CHAT, False)]
    told_now = (await told(notices)).items()
    assert [(key, n["name"], n["chat_id"], n["done"]) for key, n in told_now] == expected


class Forgetful(dict):
    """Files that were handed in, of which nobody finds any: as another process sees it that took the saga over."""

    def get(self, key, default=None):
        return default


async def test_who_waits_for_an_import_that_lost_its_file_hears_of_it_once(through_saga, imports, notices):
    """A notice tells of it, and no error beside that; without a chat it is an error."""
    imports._handed_in = Forgetful()
    assert (await through_saga.import_statement(1, "october.csv", CSV, CHAT)).new == 0
    (notice,) = (await told(notices)).values()
    assert (notice["name"], notice["done"]) == ("october.csv", False)
    with pytest.raises(ImportFailed, match="died before it was stored"):
        await through_saga.import_statement(1, "october.csv", CSV)


@pytest.mark.parametrize("chat", [None, CHAT])
async def test_an_import_that_fails_is_taken_back(  # noqa: PLR0917
    through_saga, imports, store, confirmations, sagas, notices, monkeypatch, chat
):
    """What it stored goes with its questions, what the user decided stays; an error or a notice says so."""
    await through_saga.import_statement(1, "before.csv", (HEADER + ROWS[0]).encode())

    async def fail(new):
        await through_saga.apply(1, new[-1].id, Prediction("Shopping", 0.3, "fuzzy", ""))
        assert len(await confirmations.pending(1)) == 1
        (netflix,) = [t for t in new if t.merchant == "NETFLIX"]
        await through_saga.correct_transaction(1, netflix.id, "Travel")
        raise Terminal("the list of work is full")

    monkeypatch.setattr(imports._intake, "enqueue", fail)
    if chat is None:
        with pytest.raises(ImportFailed, match="list of work is full; what was stored of it was taken back"):
            await through_saga.import_statement(1, "october.csv", CSV)
        assert await told(notices) == {}
    else:
        assert (await through_saga.import_statement(1, "october.csv", CSV, chat)).told
        (notice,) = (await told(notices)).values()
        assert (notice["name"], notice["done"]) == ("october.csv", False)

    assert await confirmations.pending(1) == []
    left = await store.transactions.recent(1)
    assert sorted((t.merchant, t.status) for t in left) == [
        ("LIDL", "uncategorized"),
        ("NETFLIX", "confirmed"),
    ]
    assert await rows(store, "statement_files") == 0
    assert {saga.state for saga in await sagas.list()} == {SagaState.COMPLETED, SagaState.FAILED}
