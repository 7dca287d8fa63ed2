-- The latest sagas in some states. Keys: the indexes of the states. Arguments: limit.
-- Returns for each state {id, ms, id, ms, ...}, the latest first.
local found = {}
for _, index in ipairs(KEYS) do
  table.insert(found, redis.call('ZREVRANGE', index, 0, tonumber(ARGV[6]) - 1, 'WITHSCORES'))
end
return found
