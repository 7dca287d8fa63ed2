-- Transfers between a user's own cards. A card is a wallet: what one can spend from.
--
-- A transfer is a saga (midas.sync.transfers), and each of its steps is a state here, so that a step that is repeated
-- finds out that it was done. What is reserved cannot be spent by another transfer meanwhile.

CREATE TABLE IF NOT EXISTS transfers (
    id          text PRIMARY KEY,     -- the saga's id
    user_id     bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    from_wallet bigint NOT NULL REFERENCES wallets (id) ON DELETE CASCADE,
    to_wallet   bigint NOT NULL REFERENCES wallets (id) ON DELETE CASCADE,
    amount      numeric NOT NULL CHECK (amount > 0 AND amount < 1e15),
    currency    text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    state       text NOT NULL DEFAULT 'asked'
                CHECK (state IN ('asked', 'withdrawn', 'reserved', 'debited', 'credited', 'booked', 'released')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    changed_at  timestamptz NOT NULL DEFAULT now(),
    CHECK (from_wallet <> to_wallet)
);

-- transfers.recent; foreign key user_id
CREATE INDEX IF NOT EXISTS idx_transfers_user_timestamp
    ON transfers (user_id, created_at DESC);

-- transfers.cards: what is reserved; foreign key from_wallet
CREATE INDEX IF NOT EXISTS idx_transfers_from_wallet
    ON transfers (from_wallet) INCLUDE (state, amount);

-- foreign key to_wallet
CREATE INDEX IF NOT EXISTS idx_transfers_to_wallet
    ON transfers (to_wallet);
