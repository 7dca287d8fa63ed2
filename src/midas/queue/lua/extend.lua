-- IN_FLIGHT stays IN_FLIGHT, with a new lease. Arguments: id, token, id, token, ...
-- Returns the ids that are not this owner's any more, or that have used up their time.
local lost = {}
redis.call('ZREM', IN_FLIGHT, '') -- nothing, but it needs no memory: see make_ready
for position = 3, #ARGV, 2 do
  local id, token = ARGV[position], ARGV[position + 1]
  local record = load(id)
  if record and record.token == token and score_at(DEADLINES, id) > now then
    redis.call('ZADD', IN_FLIGHT, exact(now + record.lease), id)
  else
    table.insert(lost, id)
  end
end
return lost
