-- nothing or a forgotten id -> READY. Arguments: id, type, priority, timeout ms, longest wait ms, body.
-- Returns 1, or 0 when the id is already known: a repeated call changes nothing.
local id, type_, priority, timeout, max_wait, body = unpack(ARGV, 3)

if redis.call('HEXISTS', RECORDS, id) == 1 or score_at(FINISHED, id) >= 0 or score_at(FORGOTTEN, id) >= 0 then
  return 0
end
local place_in_line = redis.call('INCR', SEQUENCE)
redis.call('HSET', BODIES, id, body)
make_ready(id, {
  type = type_,
  score = exact((LOWEST_URGENCY - tonumber(priority)) * ONE_PRIORITY + place_in_line),
  priority = tonumber(priority),
  timeout = tonumber(timeout),
  max_wait = tonumber(max_wait),
  enqueued = now,
  deliveries = 0,
  token = '',
})
forget(10)
return 1
