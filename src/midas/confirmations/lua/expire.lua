-- Arguments: id, transaction, the document that says that it has expired, how long to keep it in ms.
-- Returns 1 for the one caller that made it expire, 0 for all others.
local id, transaction, expired, keep = unpack(ARGV)

if redis.call('ZREM', DUE, id) == 0 then
  return 0
end
redis.call('SET', DOCUMENT, expired, 'PX', keep)
no_longer_waits(id, transaction)
return 1
