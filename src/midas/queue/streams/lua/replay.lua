-- DEAD -> waiting, with a new account of retries and deliveries. Arguments: id, new head, id, new head, ... Returns how many.
-- Stays where it is what has a unique key that another task has got meanwhile, or an id that lives again.
local replayed = 0
for position = 3, #ARGV, 2 do
  local id = ARGV[position]
  local is_dead = redis.call('HEXISTS', LIVE, id) == 0 and redis.call('ZSCORE', DEAD, id)
  local grave = is_dead and redis.call('HGET', GRAVES, id)
  local fields = grave and read_head(ARGV[position + 1])
  local unique = fields and fields[9] or ''
  if grave and (unique == '' or redis.call('HSETNX', UNIQUE, unique, id) == 1) then
    local index, _, body = unpack(cmsgpack.unpack(grave))
    append((index - 1) % PRIORITIES + 1, id, ARGV[position + 1], body) -- first of all: see go_on_without_memory
    redis.call('ZREM', DEAD, id)
    redis.call('HDEL', GRAVES, id)
    redis.call('DEL', KEYS[FIRST_RESULT + (position - 1) / 2])
    replayed = replayed + 1
  end
end
if replayed > 0 then
  count('replayed', replayed)
  wake_one_worker()
end
return replayed
