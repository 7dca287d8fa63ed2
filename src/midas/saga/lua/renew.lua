-- The owner lives. Keys: of each saga, its hash and the set it is due in. Arguments: lease ms, then id, epoch and owner
-- of each. Returns {ids that are somebody else's, ids that shall be aborted}.
local lease = tonumber(ARGV[6])
local lost, aborts = {}, {}
for position = 1, #KEYS, 2 do
  local saga, due = KEYS[position], KEYS[position + 1]
  local argument = 7 + 3 * (position - 1) / 2
  local id, epoch, owner = ARGV[argument], ARGV[argument + 1], ARGV[argument + 2]
  local found = redis.call('HMGET', saga, 'epoch', 'owner', 'abort', 'goal')
  if found[1] ~= epoch or found[2] ~= owner then
    table.insert(lost, id)
  else
    redis.call('ZADD', due, exact(now + lease), id)
    if (found[3] or '') ~= '' and (found[4] or '') == '' then
      table.insert(aborts, id)
    end
  end
end
return { lost, aborts }
