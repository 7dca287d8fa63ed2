-- waiting, DELAYED or PARKED -> ended as CANCELLED; of one in flight its worker is told. Arguments: ms that outcomes are kept,
-- id, outcome. Returns 'cancelled', 'told', 'ended' or 'unknown'.
local ttl, id, outcome = ARGV[3], ARGV[4], ARGV[5]
local result = KEYS[FIRST_RESULT + 1]
local place = redis.call('HGET', LIVE, id)

go_on_without_memory()

local function cancelled(head)
  local fields = head and read_head(head)
  redis.call('HDEL', PACE, 'paid ' .. id)
  conclude(id, fields and fields[9] or '', result, outcome, ttl)
  count('CANCELLED', 1)
  return 'cancelled'
end

local function cancelled_card()
  local _, head = take_card(id)
  return cancelled(head)
end

if not place then
  return redis.call('EXISTS', result) == 1 and 'ended' or 'unknown'
end
if string.find(place, 'delayed ', 1, true) == 1 then
  redis.call('ZREM', DELAYED, id)
  return cancelled_card()
end
local parked = string.match(place, '^parked (.*)$')
if parked then
  redis.call('ZREM', PARKED, parked)
  return cancelled_card()
end
if is_in_flight(place) then
  redis.call('ZADD', CANCELLED, exact(now), id)
  redis.call('PUBLISH', channel('cancelled'), id)
  return 'told'
end
local index, entry = string.match(place, '^(%d) (%S+)')
index = tonumber(index)
local found = redis.call('XRANGE', KEYS[index], entry, entry)[1]
redis.call('XDEL', KEYS[index], entry)
return cancelled(found and found[2][1])
