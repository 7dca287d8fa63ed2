-- nothing -> RUNNING with an owner, or IDLE without one. Arguments: owner (empty for none), lease ms, ms until the
-- deadline (0 for none), release, context, carrier, names of the steps in order.
-- Returns {1 when it was begun by this call, now, HGETALL}: an id that is known changes nothing.
local owner, lease, deadline, release, context, carrier, order = unpack(ARGV, 6)

if redis.call('EXISTS', SAGA) == 1 then
  local ours = owner ~= '' and get('owner') == owner and get('epoch') == '1'
  return { ours and 1 or 0, now, redis.call('HGETALL', SAGA) }
end
-- First of all what may need memory: see go_on_without_memory.
redis.call('HSET', SAGA, 'release', release, 'owner', owner, 'epoch', owner == '' and 0 or 1, 'revision', 0,
  'created', exact(now), 'deadline', deadline == '0' and '0' or exact(now + tonumber(deadline)),
  'context', context, 'carrier', carrier, 'order', order)
redis.call('SADD', RELEASES, release)
needs_owner_at(now + (owner == '' and 0 or tonumber(lease)))
enter(owner == '' and 'IDLE' or 'RUNNING')
count('started')
return { 1, now, redis.call('HGETALL', SAGA) }
