-- The owner lives. Keys: of each saga, its hash and the set it is due in. Arguments: lease ms, then id, epoch and owner
-- of each. Returns {those that are somebody else's, those that shall be aborted}, by their place in the call from 0 on.
redis.call('ZREM', KEYS[2], '') -- first of all: see go_on_without_memory
local lease = tonumber(ARGV[6])
local lost, aborts = {}, {}
for position = 1, #KEYS, 2 do
  local saga, due = KEYS[position], KEYS[position + 1]
  local place = (position - 1) / 2
  local id, epoch, owner = unpack(ARGV, 7 + 3 * place, 9 + 3 * place)
  local found = redis.call('HMGET', saga, 'epoch', 'owner', 'abort', 'goal')
  if found[1] ~= epoch or found[2] ~= owner then
    table.insert(lost, place)
  else
    redis.call('ZADD', due, exact(now + lease), id)
    if (found[3] or '') ~= '' and (found[4] or '') == '' then
      table.insert(aborts, place)
    end
  end
end
return { lost, aborts }
