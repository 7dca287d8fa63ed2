-- Who needs an owner. Keys: the releases, then the sets of sagas that are due. Arguments: limit.
-- Returns {now, when the next one will be due or '', releases, {id, id, ...} for each set}.
local limit = tonumber(ARGV[6])
local found, next_due = {}, ''
for position = 2, #KEYS do
  table.insert(found, redis.call('ZRANGEBYSCORE', KEYS[position], '-inf', exact(now), 'LIMIT', 0, limit))
  local first = redis.call('ZRANGEBYSCORE', KEYS[position], '(' .. exact(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  if first and (next_due == '' or tonumber(first) < tonumber(next_due)) then
    next_due = first
  end
end
return { now, next_due, redis.call('SMEMBERS', KEYS[1]), found }
