-- Everything about a saga. Arguments: how many lines of history. Returns {now, when it needs an owner or '', HGETALL,
-- history}; an empty third for none.
local lines = tonumber(ARGV[6])
local history = lines > 0 and redis.call('LRANGE', HISTORY, -lines, -1) or {}
return { now, redis.call('ZSCORE', DUE, ID) or '', redis.call('HGETALL', SAGA), history }
