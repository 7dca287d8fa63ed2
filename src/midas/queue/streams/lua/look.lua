-- Where is it? Arguments: id, ms for which somebody will wait for its end (0: nobody).
-- Returns {PENDING, PROCESSING, ENDED, KNOWN or UNKNOWN, outcome}.
local id, wait = ARGV[3], tonumber(ARGV[4])
local place = redis.call('HGET', LIVE, id)

if not place then
  local outcome = redis.call('GET', KEYS[FIRST_RESULT + 1])
  if outcome then
    return { 'ENDED', outcome }
  end
  return { redis.call('ZSCORE', KNOWN, id) and 'KNOWN' or 'UNKNOWN', '' }
end
if wait > 0 then
  go_on_without_memory()
  local until_then = math.max(now + wait, tonumber(redis.call('ZSCORE', AWAITED, id) or '0'))
  redis.call('ZADD', AWAITED, exact(until_then), id)
end
return { is_in_flight(place) and 'PROCESSING' or 'PENDING', '' }
