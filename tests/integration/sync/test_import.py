"""Statements are stored once, all or nothing, and their new transactions go to the AI."""

import asyncio
import json
import time

import pytest

from botmetry import LogSettings, Telemetry
from midas.ai import TASK
from midas.confirmations import ConfirmationService
from midas.demo.servers import RedisServer
from midas.errors import QueueUnavailable, StatementError
from midas.queue import AITaskQueue
from midas.redis import connect
from midas.sync import SyncService

HEADER = "Buchungstag;Empfänger;Verwendungszweck;Betrag;Saldo\n"
ROWS = [
    "01.10.2026;LIDL;Einkauf;-23,45;976,55\n",
    "02.10.2026;Netflix;Abo;-12,99;963,56\n",
    "02.10.2026;Coffee Corner;Kaffee;-2,50;961,06\n",
    "02.10.2026;Coffee Corner;Kaffee;-2,50;958,56\n",
    "03.10.2026;CRYPTO.COM;Card top up;-50,00;908,56\n",
]
CSV = (HEADER + "".join(ROWS)).encode()
OFX = b"""OFXHEADER:100
DATA:OFXSGML
VERSION:102
SECURITY:NONE
ENCODING:USASCII
CHARSET:1252
COMPRESSION:NONE
OLDFILEUID:NONE
NEWFILEUID:NONE

<OFX><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>EUR<BANKACCTFROM><ACCTID>DE99</BANKACCTFROM><BANKTRANLIST>
<STMTTRN><TRNTYPE>DEBIT<DTPOSTED>20261003<TRNAMT>-9.99<FITID>1<NAME>SPOTIFY</STMTTRN>
</BANKTRANLIST></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>
"""


async def test_a_statement_is_stored_and_its_transactions_are_queued(sync, store, queue, sample):
    """Each new transaction becomes one task with what a worker needs to know; the balance is known, too."""
    report = await sync.import_statement(1, "october.csv", CSV)

    assert (report.found, report.new, report.duplicates, report.queued, report.source) == (5, 5, 0, 5, "csv")
    stored = {str(t.id): t for t in await store.transactions.recent(1)}
    tasks = [await queue.dequeue_task("w", 1.0) for _ in range(5)]
    assert {task.type for task in tasks} == {TASK}
    for task in tasks:
        transaction = stored[str(task.payload["transaction_id"])]
        assert task.payload == {
            "user_id": 1,
            "transaction_id": transaction.id,
            "description": transaction.description,
            "amount": str(transaction.amount),
            "currency": "EUR",
        }
    assert [str(money) for money in await store.reports.balance(1)] == ["908.56 EUR"]
    assert sample("transactions_synced_total", source="csv") == 5
    assert sample("transactions_crypto_card_detected_total", provider="crypto_com") == 1
    assert sample("transactions_sync_duration_seconds_count", source="csv") == 1


async def test_the_same_statement_again_adds_nothing(sync, queue):
    """A second import reports duplicates and queues nothing."""
    await sync.import_statement(1, "october.csv", CSV)
    report = await sync.import_statement(1, "copy.csv", CSV.replace(b"\n", b"\r\n"))

    assert (report.found, report.new, report.duplicates, report.queued) == (5, 0, 5, 0)
    assert await queue.get_queue_size() == 5


async def test_an_overlapping_statement_adds_what_is_new(sync, store):
    """Equal rows are counted: the third coffee of the day is new, the first two are known."""
    await sync.import_statement(1, "a.csv", CSV)
    later = HEADER + ROWS[2] * 3 + "04.10.2026;LIDL;Einkauf;-1,00;1,00\n"

    report = await sync.import_statement(1, "b.csv", later.encode())

    assert (report.found, report.new, report.duplicates) == (4, 2, 2)
    assert len(await store.transactions.of_merchant(1, "COFFEE CORNER")) == 3


async def test_users_do_not_share_transactions(sync):
    """The same file of two users is new for both."""
    await sync.import_statement(1, "a.csv", CSV)

    assert (await sync.import_statement(2, "a.csv", CSV)).new == 5


async def test_ofx_is_imported_by_the_same_way(sync, store):
    """What the file is called does not matter."""
    report = await sync.import_statement(1, "statement.csv", OFX)

    assert (report.new, report.source) == (1, "ofx")
    assert (await store.transactions.recent(1))[0].merchant == "SPOTIFY"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        CSV.replace(b"03.10.2026", b"33.10.2026"),
        CSV.replace(b"-50,00", b"fifty"),
        CSV + b'04.10.2026;"LIDL;x;-1,00;1,00\n',
        OFX[: len(OFX) - 30],
        OFX.replace(b"-9.99", b""),
    ],
    ids=["empty", "text", "date", "amount", "quote", "half", "no amount"],
)
async def test_of_a_broken_statement_nothing_is_stored_and_the_rest_stays(sync, store, queue, data):
    """The error comes before anything is written; what was there is untouched."""
    await sync.import_statement(1, "good.csv", (HEADER + ROWS[0]).encode())
    before = await contents(store)

    with pytest.raises(StatementError):
        await sync.import_statement(1, "broken", data)

    assert await contents(store) == before
    assert await queue.get_queue_size() == 1


async def test_a_broken_statement_is_logged_without_what_it_says(
    store, queue, categorizer, confirmations, tmp_path
):
    """The line in the log names file kind, line number and user; amounts, names and tracebacks stay out."""
    path = tmp_path / "log.jsonl"
    telemetry = Telemetry(service="midas-test", log=LogSettings(output=str(path)))
    sync = SyncService(store, queue, categorizer, confirmations, telemetry)
    with pytest.raises(StatementError, match="secret"):
        await sync.import_statement(7, "x.csv", (HEADER + "01.10.2026;LIDL;x;secret;\n").encode())
    telemetry.close()

    (line,) = [json.loads(line) for line in path.read_text().splitlines()]
    expected = {"event": "transactions.synced", "source": "csv", "outcome": "error", "line": 2, "user_id": 7}
    assert expected.items() <= line.items()
    assert "secret" not in path.read_text()


async def contents(store):
    query = """
        SELECT (SELECT count(*) FROM transactions) AS transactions, (SELECT count(*) FROM wallets) AS wallets,
               (SELECT count(*) FROM sync_runs) AS runs, (SELECT count(*) FROM balance_snapshots) AS balances
    """
    return dict(await store.database.row(query))


async def test_imports_are_written_down(sync, store):
    """The run and the audit log say what came from where."""
    await sync.import_statement(1, "october.csv", CSV)

    (run,) = await store.sync_runs.recent(1)
    assert (run.file_name, run.outcome, run.found, run.added, run.duplicates) == (
        "october.csv",
        "ok",
        5,
        5,
        0,
    )
    (entry,) = await store.audit.of_user(1)
    assert (entry.action, entry.details) == (
        "statement.imported",
        {"file": "october.csv", "found": 5, "new": 5},
    )


async def test_without_redis_the_import_is_kept_and_categorized_later(
    store, categorizer, telemetry, tmp_path
):
    """Transactions are stored and wait; when Redis is back, the user's next wish queues them."""
    with RedisServer(tmp_path, appendfsync="always") as server:
        redis = connect(server.url)
        async with AITaskQueue(redis, telemetry=telemetry) as queue:
            sync = SyncService(store, queue, categorizer, ConfirmationService(redis, telemetry), telemetry)
            await asyncio.to_thread(server.stop)

            report = await sync.import_statement(1, "october.csv", CSV)
            with pytest.raises(QueueUnavailable):
                await sync.categorize_pending(1)
            await asyncio.to_thread(server.start)
            queued = await sync.categorize_pending(1)
        await redis.aclose()

    assert (report.new, report.queued, queued) == (5, 0, 5)


async def test_what_an_import_could_not_queue_is_taken_up_once(store, categorizer, telemetry, tmp_path):
    """After two minutes the tasks that Redis did not take are queued, and a second look queues nothing twice."""
    with RedisServer(tmp_path, appendfsync="always") as server:
        redis = connect(server.url)
        async with AITaskQueue(redis, telemetry=telemetry) as queue:
            sync = SyncService(store, queue, categorizer, ConfirmationService(redis, telemetry), telemetry)
            await asyncio.to_thread(server.stop)
            await sync.import_statement(1, "october.csv", CSV)
            await asyncio.to_thread(server.start)

            assert await sync.take_up() == 0
            sync._clock = lambda: time.time() + 180.0
            assert [await sync.take_up(), await sync.take_up()] == [5, 5]
            assert await queue.get_queue_size() == 5
        await redis.aclose()


async def test_open_transactions_are_queued_on_request_once_a_minute(sync, store, queue):
    """Asking twice does not double the work; asking later asks again."""
    await sync.import_statement(1, "a.csv", CSV)
    await queue.clear_queue()
    sync._clock = lambda: 600.0

    assert [await sync.categorize_pending(1), await sync.categorize_pending(1)] == [5, 5]
    assert await queue.get_queue_size() == 5
    sync._clock = lambda: 660.0
    assert await sync.categorize_pending(1, limit=2) == 2
    assert await queue.get_queue_size() == 7


async def test_without_asynchronous_ai_categorizing_happens_at_once(direct, store, queue, confirmations):
    """Sure categories are kept, the others wait for the user; nothing is queued."""
    report = await direct.import_statement(1, "a.csv", CSV)
    assert report.queued == 0

    assert await direct.categorize_pending(1) == 5
    assert await queue.get_queue_size() == 0
    assert await store.transactions.uncategorized(1) == []
    waiting = await confirmations.pending(1)
    assert {confirmation.description for confirmation in waiting} >= {"Coffee Corner | Kaffee"}
    assert {t.status for t in await store.transactions.of_merchant(1, "LIDL")} == {"auto"}
