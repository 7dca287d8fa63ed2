-- How much is where. Returns {ready, in flight, dead, ms that the oldest waiting task is old}.
local oldest = redis.call('ZRANGE', ARRIVALS, 0, 0, 'WITHSCORES')[2]
local age = oldest and math.max(0, now - tonumber(oldest)) or 0
return { redis.call('ZCARD', READY), redis.call('ZCARD', IN_FLIGHT), redis.call('ZCARD', DEAD), age }
