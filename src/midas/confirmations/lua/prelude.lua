-- What every script shares: the keys, and how a question leaves the places of those that wait.
--
-- DOCUMENT is the question itself. While it waits, it stands in OPEN as well (id -> document), for Redis throws DOCUMENT
-- away at the very moment when somebody has to be told that it has expired; in DUE and USER_PENDING by its expiry; and in
-- TRANSACTIONS (transaction -> id).

local DOCUMENT, OPEN, DUE, USER_PENDING, TRANSACTIONS = unpack(KEYS)

local function no_longer_waits(id, transaction)
  redis.call('HDEL', OPEN, id)
  redis.call('ZREM', DUE, id)
  redis.call('ZREM', USER_PENDING, id)
  if redis.call('HGET', TRANSACTIONS, transaction) == id then
    redis.call('HDEL', TRANSACTIONS, transaction)
  end
end
