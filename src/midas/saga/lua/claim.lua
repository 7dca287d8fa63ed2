-- A saga that needs an owner gets this one, and a new epoch. Arguments: owner, lease ms, most recoveries.
-- Returns {'owned', now, ms it was due for, 1 when its owner had died, HGETALL} or {'held' | 'gone' | 'parked', now}.
local owner, lease, most = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
go_on_without_memory()
local due = tonumber(redis.call('ZSCORE', DUE, ID) or '-1')

if due < 0 then
  return { 'gone', now }
end
if redis.call('EXISTS', SAGA) == 0 then
  redis.call('ZREM', DUE, ID) -- somebody deleted half of it by hand
  return { 'gone', now }
end
if get('owner') == owner then
  return { 'owned', now, 0, 0, redis.call('HGETALL', SAGA) } -- our own, whose reply was lost
end
if due > now then
  return { 'held', now }
end

local died = get('owner') ~= ''
if died then
  count('recovered')
  if redis.call('HINCRBY', SAGA, 'recoveries', 1) > most then
    count('parked')
    redis.call('HSET', SAGA, 'error', 'its owners died ' .. most + 1 .. ' times without finishing a step')
    enter('SUSPENDED')
    return { 'parked', now }
  end
end
local epoch = redis.call('HINCRBY', SAGA, 'epoch', 1)
redis.call('HSET', SAGA, 'owner', owner)
needs_owner_at(now + lease)
local late = died and 'recovered ' .. exact(now - due) .. ' ms after the lease of an owner that died' or ''
note(cjson.encode({ epoch = epoch, state = 'OWNED', detail = late }))
enter(get('goal') == '' and 'RUNNING' or 'COMPENSATING')
return { 'owned', now, now - due, died and 1 or 0, redis.call('HGETALL', SAGA) }
