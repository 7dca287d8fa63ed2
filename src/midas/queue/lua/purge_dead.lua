-- DEAD -> gone, the oldest first. Arguments: limit. Returns how many.
local ids = redis.call('ZRANGE', DEAD, 0, tonumber(ARGV[3]) - 1)
for _, id in ipairs(ids) do
  redis.call('ZREM', DEAD, id)
  redis.call('HDEL', RECORDS, id)
  redis.call('HDEL', BODIES, id)
end
return #ids
