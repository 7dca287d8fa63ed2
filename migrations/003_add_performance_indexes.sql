-- Indexes that make a user's own data quick to reach among everybody's: each names the query that it serves.
--
-- Repository methods are written as `module.method` of midas.store. Columns after INCLUDE are there so that the
-- query is answered from the index alone. Foreign keys are indexed where deleting or renaming the referenced
-- row happens. Not CONCURRENTLY: the runner applies a file in one transaction, all or nothing.

-- transactions -----------------------------------------------------------------------------------------

-- transactions.recent, transactions.between
CREATE INDEX IF NOT EXISTS idx_transactions_user_id_timestamp
    ON transactions (user_id, occurred_at DESC, id DESC);

-- transactions.uncategorized: a small share of the table, and the share that is asked for most
CREATE INDEX IF NOT EXISTS idx_transactions_uncategorized
    ON transactions (user_id, occurred_at DESC, id DESC) WHERE status = 'uncategorized';

-- transactions.pending
CREATE INDEX IF NOT EXISTS idx_transactions_pending
    ON transactions (user_id, occurred_at DESC, id DESC) WHERE status = 'pending';

-- reports.spending
CREATE INDEX IF NOT EXISTS idx_transactions_spending
    ON transactions (user_id, occurred_at) INCLUDE (category, currency, amount) WHERE amount < 0;

-- transactions.of_category
CREATE INDEX IF NOT EXISTS idx_transactions_user_id_category_timestamp
    ON transactions (user_id, category, occurred_at DESC);

-- transactions.of_merchant
CREATE INDEX IF NOT EXISTS idx_transactions_user_id_merchant_timestamp
    ON transactions (user_id, merchant, occurred_at DESC);

-- reports.balance: what was booked after the last known balance; foreign key wallet_id
CREATE INDEX IF NOT EXISTS idx_transactions_wallet_timestamp
    ON transactions (wallet_id, occurred_at) INCLUDE (amount);

-- foreign key category: renaming a category
CREATE INDEX IF NOT EXISTS idx_transactions_category
    ON transactions (category) WHERE category IS NOT NULL;

-- merchants --------------------------------------------------------------------------------------------

-- merchants.lookup, merchants.candidates; foreign key user_id
CREATE INDEX IF NOT EXISTS idx_merchant_mappings_user_merchant
    ON merchant_mappings (user_id, merchant) INCLUDE (category, confirmations, updated_at);

-- foreign key category
CREATE INDEX IF NOT EXISTS idx_merchant_mappings_category
    ON merchant_mappings (category);

-- foreign key category
CREATE INDEX IF NOT EXISTS idx_reference_merchants_category
    ON reference_merchants (category);

-- balances and budgets ---------------------------------------------------------------------------------

-- reports.balance, reports.balance_history; foreign key wallet_id
CREATE INDEX IF NOT EXISTS idx_balance_snapshots_wallet_timestamp
    ON balance_snapshots (wallet_id, taken_at DESC) INCLUDE (balance);

-- foreign key category
CREATE INDEX IF NOT EXISTS idx_budgets_category
    ON budgets (category);

-- users ------------------------------------------------------------------------------------------------

-- users.seen_since
CREATE INDEX IF NOT EXISTS idx_users_last_seen
    ON users (last_seen_at);

-- users.of_chat
CREATE INDEX IF NOT EXISTS idx_users_chat_id
    ON users (chat_id);

-- audit_log --------------------------------------------------------------------------------------------

-- audit.of_user; foreign key user_id
CREATE INDEX IF NOT EXISTS idx_audit_log_user_timestamp
    ON audit_log (user_id, created_at DESC, id DESC);

-- audit.of_entity
CREATE INDEX IF NOT EXISTS idx_audit_log_entity
    ON audit_log (entity, entity_id, created_at);

-- audit.forget_before: rows lie in the order of time, so a block range index of a few pages finds them.
-- 32 pages are about 2,500 rows; summarised as the log grows, not only at the next vacuum.
CREATE INDEX IF NOT EXISTS idx_audit_log_timestamp
    ON audit_log USING brin (created_at) WITH (pages_per_range = 32, autosummarize = on);

-- confirmation_history ---------------------------------------------------------------------------------

-- decisions.of_user; foreign key user_id
CREATE INDEX IF NOT EXISTS idx_confirmation_history_user_timestamp
    ON confirmation_history (user_id, decided_at DESC);

-- foreign key transaction_id
CREATE INDEX IF NOT EXISTS idx_confirmation_history_transaction
    ON confirmation_history (transaction_id);

-- decisions.accuracy
CREATE INDEX IF NOT EXISTS idx_confirmation_history_timestamp
    ON confirmation_history (decided_at) INCLUDE (method, confidence, outcome);

-- foreign keys predicted and decided: renaming a category
CREATE INDEX IF NOT EXISTS idx_confirmation_history_predicted
    ON confirmation_history (predicted);
CREATE INDEX IF NOT EXISTS idx_confirmation_history_decided
    ON confirmation_history (decided) WHERE decided IS NOT NULL;

-- sync_runs --------------------------------------------------------------------------------------------

-- sync_runs.recent; foreign key user_id
CREATE INDEX IF NOT EXISTS idx_sync_runs_user_timestamp
    ON sync_runs (user_id, started_at DESC);

-- sync_runs.abandon_started_before: the few that are not finished
CREATE INDEX IF NOT EXISTS idx_sync_runs_unfinished
    ON sync_runs (started_at) WHERE finished_at IS NULL;
