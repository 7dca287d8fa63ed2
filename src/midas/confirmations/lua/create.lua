-- Arguments: id, transaction, document, expiry ms, now ms.
-- Returns the document that waits now: this one, or the one that asks about the same transaction already.
local id, transaction, document = ARGV[1], ARGV[2], ARGV[3]
local expiry, now = tonumber(ARGV[4]), tonumber(ARGV[5])

local earlier = redis.call('HGET', TRANSACTIONS, transaction)
if earlier and tonumber(redis.call('ZSCORE', DUE, earlier) or '0') > now then
  return redis.call('HGET', OPEN, earlier)
end
redis.call('SET', DOCUMENT, document, 'PX', string.format('%.0f', expiry - now))
redis.call('HSET', OPEN, id, document)
redis.call('HSET', TRANSACTIONS, transaction, id)
redis.call('ZADD', DUE, ARGV[4], id)
redis.call('ZADD', USER_PENDING, ARGV[4], id)
local last = tonumber(redis.call('ZREVRANGE', USER_PENDING, 0, 0, 'WITHSCORES')[2])
redis.call('PEXPIRE', USER_PENDING, string.format('%.0f', last - now))
return document
