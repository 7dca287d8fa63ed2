-- Everything that midas remembers for ever.
--
-- Applied by `midas migrate`, which records it in schema_migrations, or by `psql -f` alone: every statement may
-- run twice. Primary keys and unique constraints are here because correctness needs them; what only makes
-- queries fast is in 003. Amounts are NUMERIC without a scale: a currency has 0, 2 or 3 decimals, and what the
-- bank wrote is kept as it wrote it.

CREATE TABLE IF NOT EXISTS users (
    id           bigint PRIMARY KEY,  -- Telegram's id of the person
    display_name text NOT NULL,
    chat_id      bigint NOT NULL,     -- where answers go; equal to id in a private chat
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS categories (
    name        text PRIMARY KEY,
    is_spending boolean NOT NULL      -- false where money only changes pockets
);

CREATE TABLE IF NOT EXISTS wallets (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    account    text NOT NULL,         -- IBAN or number within the bank; empty where a statement names none
    currency   text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, account, currency)
);

CREATE TABLE IF NOT EXISTS balance_snapshots (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wallet_id bigint NOT NULL REFERENCES wallets (id) ON DELETE CASCADE,
    taken_at  timestamptz NOT NULL,   -- the balance includes every transaction up to and including this instant
    balance   numeric NOT NULL CHECK (abs(balance) < 1e15),
    UNIQUE (taken_at, wallet_id)
);

CREATE TABLE IF NOT EXISTS transactions (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id        bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    wallet_id      bigint NOT NULL REFERENCES wallets (id) ON DELETE CASCADE,
    source         text NOT NULL,     -- csv, ofx
    external_id    text NOT NULL,     -- the same transaction in another file has the same one
    occurred_at    timestamptz NOT NULL,
    amount         numeric NOT NULL CHECK (abs(amount) < 1e15),  -- negative = spent
    currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    description    text NOT NULL,
    merchant       text NOT NULL,
    category       text REFERENCES categories (name) ON UPDATE CASCADE,
    confidence     double precision CHECK (confidence BETWEEN 0 AND 1),
    status         text NOT NULL DEFAULT 'uncategorized'
                   CHECK (status IN ('uncategorized', 'pending', 'auto', 'confirmed', 'corrected')),
    method         text NOT NULL DEFAULT 'none'
                   CHECK (method IN ('none', 'mapping', 'fuzzy', 'llm', 'user')),
    created_at     timestamptz NOT NULL DEFAULT now(),
    categorized_at timestamptz,
    UNIQUE (user_id, source, external_id)
);

-- What a user said about a merchant, a row a category: evidence is kept, also against what is believed now.
CREATE TABLE IF NOT EXISTS merchant_mappings (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id       bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    merchant      text NOT NULL,
    category      text NOT NULL REFERENCES categories (name) ON UPDATE CASCADE,
    confirmations integer NOT NULL DEFAULT 1 CHECK (confirmations > 0),  -- how often the user decided so
    updated_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (merchant, user_id, category)
);

-- What everybody knows about a merchant. The two counts say how sure that is: of an imagined sample of
-- purchases, how many belong to the category and how many do not (a supermarket 48 of 50, a department store 15
-- of 20).
CREATE TABLE IF NOT EXISTS reference_merchants (
    merchant      text PRIMARY KEY,
    category      text NOT NULL REFERENCES categories (name) ON UPDATE CASCADE,
    confirmations integer NOT NULL CHECK (confirmations > 0),
    corrections   integer NOT NULL CHECK (corrections >= 0)
);

CREATE TABLE IF NOT EXISTS budgets (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    category   text NOT NULL REFERENCES categories (name) ON UPDATE CASCADE,
    currency   text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    amount     numeric NOT NULL CHECK (amount > 0 AND amount < 1e15),  -- a calendar month
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, category, currency)
);

-- How predictions ended; Redis holds only those that still wait.
CREATE TABLE IF NOT EXISTS confirmation_history (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id        bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    transaction_id bigint NOT NULL REFERENCES transactions (id) ON DELETE CASCADE,
    predicted      text NOT NULL REFERENCES categories (name) ON UPDATE CASCADE,
    decided        text REFERENCES categories (name) ON UPDATE CASCADE,  -- null when nobody decided
    confidence     double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    method         text NOT NULL CHECK (method IN ('none', 'mapping', 'fuzzy', 'llm', 'user')),
    outcome        text NOT NULL CHECK (outcome IN ('confirmed', 'corrected', 'expired', 'rejected')),
    decided_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS audit_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    action     text NOT NULL,         -- statement.imported, category.applied, category.corrected, …
    entity     text NOT NULL,         -- transaction, statement, budget
    entity_id  text NOT NULL,
    details    jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS sync_runs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id     bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    source      text NOT NULL,
    file_name   text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,          -- null while it runs, or when the process died
    found       integer NOT NULL DEFAULT 0,
    added       integer NOT NULL DEFAULT 0,
    duplicates  integer NOT NULL DEFAULT 0,
    outcome     text NOT NULL DEFAULT 'running' CHECK (outcome IN ('running', 'ok', 'error', 'abandoned'))
);
