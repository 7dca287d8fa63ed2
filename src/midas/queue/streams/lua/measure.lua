-- How much is where? Returns {waiting of CRITICAL, HIGH, NORMAL, LOW, delayed, parked, in flight, dead, age of the oldest
-- waiting ms, ms until the next delayed is due or -1, readers, statistics}.
local waiting, in_flight, oldest = { 0, 0, 0, 0 }, 0, now
for index = 1, STREAM_COUNT do
  local not_taken, held = occupancy(index)
  local priority = (index - 1) % PRIORITIES + 1
  waiting[priority] = waiting[priority] + not_taken
  in_flight = in_flight + held
  local first = first_waiting(index)
  if first then
    oldest = math.min(oldest, enqueued_at(first))
  end
end
local nearest = redis.call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')
return {
  waiting[1], waiting[2], waiting[3], waiting[4],
  redis.call('ZCARD', DELAYED), redis.call('ZCARD', PARKED), in_flight, redis.call('ZCARD', DEAD), now - oldest,
  nearest[2] and math.max(0, tonumber(nearest[2]) - now) or -1,
  redis.call('ZCARD', ALIVE),
  redis.call('HGETALL', STATS),
}
