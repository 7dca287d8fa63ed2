-- What an import needs while it runs, and how it is undone: gone when it has ended.
--
-- An import is a saga (midas.sync.imports). The file lies here so that any process can finish what another began; the
-- other two tables say what the import added, so that exactly this can be taken back. Rows live for seconds, so the
-- tables stay small, and what is asked for once an import needs no index.

CREATE TABLE IF NOT EXISTS statement_files (
    import_id  text PRIMARY KEY,      -- the saga's id
    user_id    bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name       text NOT NULL,         -- as the user called it
    content    bytea NOT NULL,
    run_id     bigint REFERENCES sync_runs (id) ON DELETE CASCADE,  -- null until its transactions are stored
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS imported_transactions (
    transaction_id bigint PRIMARY KEY REFERENCES transactions (id) ON DELETE CASCADE,
    import_id      text NOT NULL REFERENCES statement_files (import_id) ON DELETE CASCADE
);

CREATE TABLE IF NOT EXISTS imported_balances (
    snapshot_id bigint NOT NULL REFERENCES balance_snapshots (id) ON DELETE CASCADE,
    import_id   text NOT NULL REFERENCES statement_files (import_id) ON DELETE CASCADE,
    previous    numeric,              -- what was known of this instant before; null when nothing was
    PRIMARY KEY (snapshot_id, import_id)
);
