-- A reader lives. Arguments: consumer, lease ms. Returns 1, or 0 when its lease had lapsed and it was given up.
local consumer, lease = ARGV[3], tonumber(ARGV[4])
local known = redis.call('ZSCORE', ALIVE, consumer)
go_on_without_memory()
redis.call('ZADD', ALIVE, exact(now + lease), consumer)
return known and 1 or 0
