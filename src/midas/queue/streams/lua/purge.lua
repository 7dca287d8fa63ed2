-- DEAD -> gone. Arguments: limit, then ids; without ids the oldest. Returns how many.
local ids = #ARGV > 3 and { unpack(ARGV, 4) } or redis.call('ZRANGE', DEAD, 0, tonumber(ARGV[3]) - 1)
local purged = 0
for _, id in ipairs(ids) do
  purged = purged + redis.call('ZREM', DEAD, id)
  redis.call('HDEL', GRAVES, id)
end
count('purged', purged)
return purged
