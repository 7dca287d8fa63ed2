-- How much is where. Keys: the counters, then the indexes of the states. Returns {HGETALL of the counters, {number, ...}}.
local sizes = {}
for position = 2, #KEYS do
  table.insert(sizes, redis.call('ZCARD', KEYS[position]))
end
return { redis.call('HGETALL', KEYS[1]), sizes }
