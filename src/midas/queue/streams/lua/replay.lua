-- DEAD -> waiting, with a new account of retries and deliveries. Arguments: id, new head, id, new head, ... Returns how many.
local replayed = 0
for position = 3, #ARGV, 2 do
  local id = ARGV[position]
  local grave = redis.call('HGET', GRAVES, id)
  if grave and redis.call('ZREM', DEAD, id) == 1 then
    redis.call('HDEL', GRAVES, id)
    redis.call('DEL', KEYS[FIRST_RESULT + (position - 1) / 2])
    local index, _, body = unpack(cmsgpack.unpack(grave))
    append((index - 1) % PRIORITIES + 1, id, ARGV[position + 1], body)
    replayed = replayed + 1
  end
end
if replayed > 0 then
  count('replayed', replayed)
  wake_one_worker()
end
return replayed
