"""Every index is there for a query that PostgreSQL answers with it."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest_asyncio

from midas.store import open_store
from midas.store.connection import Session

START = datetime(2026, 1, 1, tzinfo=UTC)
MONTH = (START + timedelta(days=30), START + timedelta(days=60))

FILL = """
INSERT INTO users (id, display_name, chat_id, last_seen_at)
    SELECT n, 'user ' || n, n, timestamptz '2026-01-01' + n * interval '1 hour' FROM generate_series(1, 5000) n;
INSERT INTO wallets (user_id, account, currency) SELECT n, '', 'EUR' FROM generate_series(1, 200) n;
INSERT INTO transactions (user_id, wallet_id, source, external_id, occurred_at, amount, currency, description,
                          merchant, category, confidence, status, method)
    SELECT 1 + n % 200, w.id, 'csv', n::text, timestamptz '2026-01-01' + n * interval '20 minutes', -n % 90 - 1,
           'EUR', 'payment ' || n, 'MERCHANT ' || n / 200 % 30,
           CASE WHEN n / 200 % 20 = 0 THEN 'Travel' ELSE 'Groceries' END, 0.9,
           CASE n / 200 % 50 WHEN 0 THEN 'uncategorized' WHEN 1 THEN 'pending' ELSE 'auto' END, 'mapping'
    FROM generate_series(1, 20000) n JOIN wallets w ON w.user_id = 1 + n % 200;
INSERT INTO balance_snapshots (wallet_id, taken_at, balance)
    SELECT w.id, timestamptz '2026-01-01' + n * interval '1 day', n FROM wallets w, generate_series(1, 30) n;
INSERT INTO merchant_mappings (user_id, merchant, category)
    SELECT 1 + n % 200, 'MERCHANT ' || n / 200, CASE WHEN n % 97 = 0 THEN 'Travel' ELSE 'Groceries' END
    FROM generate_series(1, 10000) n;
INSERT INTO budgets (user_id, category, currency, amount)
    SELECT n, 'Groceries', 'EUR', 100 FROM generate_series(1, 2000) n;
INSERT INTO confirmation_history
    (user_id, transaction_id, predicted, decided, confidence, method, outcome, decided_at)
    SELECT t.user_id, t.id, CASE WHEN t.id % 97 = 0 THEN 'Travel' ELSE 'Groceries' END,
           CASE WHEN t.id % 89 = 0 THEN 'Travel' ELSE 'Health' END, 0.5, 'fuzzy', 'corrected', t.occurred_at
    FROM transactions t;
INSERT INTO audit_log (user_id, action, entity, entity_id, created_at)
    SELECT 1 + n % 5000, 'category.predicted', 'transaction', n::text,
           timestamptz '2026-01-01' + n * interval '5 minutes'
    FROM generate_series(1, 60000) n;
INSERT INTO sync_runs (user_id, source, file_name, started_at, finished_at)
    SELECT 1 + n % 200, 'csv', 'a.csv', timestamptz '2026-01-01' + n * interval '1 hour',
           CASE WHEN n % 500 > 0 THEN now() END
    FROM generate_series(1, 10000) n;
INSERT INTO wallets (user_id, account, currency) SELECT n, 'savings', 'EUR' FROM generate_series(1, 200) n;
INSERT INTO transfers (id, user_id, from_wallet, to_wallet, amount, currency, created_at, state)
    SELECT n::text, 1 + n % 200, f.id, t.id, 1, 'EUR', timestamptz '2026-01-01' + n * interval '1 hour',
           CASE WHEN n % 50 = 0 THEN 'reserved' ELSE 'booked' END
    FROM generate_series(1, 10000) n
    JOIN wallets f ON f.user_id = 1 + n % 200 AND f.account = ''
    JOIN wallets t ON t.user_id = 1 + n % 200 AND t.account = 'savings';
"""

CALLS = {
    "idx_transactions_user_id_timestamp": lambda store: store.transactions.between(1, *MONTH),
    "idx_transactions_uncategorized": lambda store: store.transactions.uncategorized(1),
    "idx_transactions_pending": lambda store: store.transactions.pending(1),
    "idx_transactions_spending": lambda store: store.reports.spending(1, *MONTH),
    "idx_transactions_user_id_category_timestamp": lambda store: store.transactions.of_category(
        1, "Travel", *MONTH
    ),
    "idx_transactions_user_id_merchant_timestamp": lambda store: store.transactions.of_merchant(
        1, "MERCHANT 7"
    ),
    "idx_transactions_wallet_timestamp": lambda store: store.reports.balance(1),
    "idx_merchant_mappings_user_merchant": lambda store: store.merchants.candidates(1),
    "idx_balance_snapshots_wallet_timestamp": lambda store: store.reports.balance_history(1, START),
    "idx_users_last_seen": lambda store: store.users.seen_since(START + timedelta(days=205)),
    "idx_users_chat_id": lambda store: store.users.of_chat(7),
    "idx_audit_log_user_timestamp": lambda store: store.audit.of_user(1),
    "idx_audit_log_entity": lambda store: store.audit.of_entity("transaction", 7),
    "idx_audit_log_timestamp": lambda store: store.audit.forget_before(START + timedelta(days=3)),
    "idx_confirmation_history_user_timestamp": lambda store: store.decisions.of_user(1),
    "idx_confirmation_history_timestamp": lambda store: store.decisions.accuracy(START + timedelta(days=270)),
    "idx_sync_runs_user_timestamp": lambda store: store.sync_runs.recent(1),
    "idx_sync_runs_unfinished": lambda store: store.sync_runs.abandon_started_before(
        START + timedelta(days=30)
    ),
    "idx_transfers_user_timestamp": lambda store: store.transfers.recent(1),
    "idx_transfers_from_wallet": lambda store: store.transfers.cards(1),
}
"""A call of the store for each index."""

FOREIGN_KEYS = {
    "idx_transactions_category": "SELECT FROM transactions WHERE category = 'Travel'",
    "idx_merchant_mappings_category": "SELECT FROM merchant_mappings WHERE category = 'Travel'",
    "idx_reference_merchants_category": "SELECT FROM reference_merchants WHERE category = 'Travel'",
    "idx_budgets_category": "SELECT FROM budgets WHERE category = 'Travel'",
    "idx_confirmation_history_transaction": "SELECT FROM confirmation_history WHERE transaction_id = 7",
    "idx_confirmation_history_predicted": "SELECT FROM confirmation_history WHERE predicted = 'Travel'",
    "idx_confirmation_history_decided": "SELECT FROM confirmation_history WHERE decided = 'Travel'",
    "idx_transfers_to_wallet": "SELECT FROM transfers WHERE to_wallet = 7",
}
"""What PostgreSQL itself asks when the row that is referred to is renamed or deleted."""


@pytest_asyncio.fixture(name="filled")
async def _filled(postgres_url):
    """A store with two hundred users, and a connection to ask for plans."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(FILL)
    await connection.execute("VACUUM ANALYZE")
    async with open_store(postgres_url) as store:
        yield store, connection
    await connection.close()


async def test_every_index_serves_the_query_it_was_made_for(filled, monkeypatch):
    """PostgreSQL chooses the index for its query by itself; none is there that no query uses, and none is missing."""
    store, connection = filled
    asked = []

    async def note(session, query, *arguments):
        asked.append((query, arguments))
        return []

    async def note_row(session, query, *arguments):
        asked.append((query, arguments))
        return {"count": 0}

    monkeypatch.setattr(Session, "rows", note)
    monkeypatch.setattr(Session, "row", note_row)
    unused = []
    for index, call in CALLS.items():
        await call(store)
        query, arguments = asked[-1]
        if index not in await plan(connection, query, *arguments):
            unused.append(index)
    unused += [index for index, query in FOREIGN_KEYS.items() if index not in await plan(connection, query)]
    rows = await connection.fetch("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'idx\\_%'")

    assert unused == []
    assert {row["indexname"] for row in rows} == CALLS.keys() | FOREIGN_KEYS.keys()


async def plan(connection, query, *arguments):
    rows = await connection.fetch(f"EXPLAIN {query}", *arguments)
    return "\n".join(row[0] for row in rows)
