-- nothing -> waiting or DELAYED. Arguments: most waiting (0: any), ms that given ids are known, a name for this call, then for each
-- task: stream, id, head, body, delay ms, unique key, 1 when the id was given by the caller.
-- Returns 'full', or for each task '' (added), or the id of the task that is there already.
local most, memory = tonumber(ARGV[3]), tonumber(ARGV[4])
local call, REPEATED_WITHIN_MS = 'call ' .. ARGV[5], 10000
local given_count = (#ARGV - 5) / 7
local replies, added, places = {}, 0, {}

local function waiting()
  local count = redis.call('ZCARD', DELAYED) + redis.call('ZCARD', PARKED)
  for index = 1, STREAM_COUNT do
    count = count + (occupancy(index))
  end
  return count
end

-- The same call once more: its reply was lost, and the client repeated it. Some of its tasks may have ended by now.
redis.call('ZREMRANGEBYSCORE', KNOWN, '-inf', exact(now))
if redis.call('ZSCORE', KNOWN, call) then
  for position = 6, #ARGV, 7 do
    local id, unique = ARGV[position + 1], ARGV[position + 5]
    local there = unique ~= '' and redis.call('HGET', UNIQUE, unique) or id
    replies[#replies + 1] = there == id and '' or there
  end
  return replies
end

-- All that live are at least as many as all that wait, and easier to count.
if most > 0 and redis.call('HLEN', LIVE) + given_count > most and waiting() + given_count > most then
  return 'full'
end

for position = 6, #ARGV, 7 do
  local index, id, head, body = tonumber(ARGV[position]), ARGV[position + 1], ARGV[position + 2], ARGV[position + 3]
  local pause, unique, given = tonumber(ARGV[position + 4]), ARGV[position + 5], ARGV[position + 6] == '1'
  local there = ''
  if given and (redis.call('HEXISTS', LIVE, id) == 1 or redis.call('ZSCORE', KNOWN, id)) then
    there = id
  end
  if there == '' and unique ~= '' and redis.call('HSETNX', UNIQUE, unique, id) == 0 then
    there = redis.call('HGET', UNIQUE, unique)
  end
  if there == '' then
    added = added + 1
    if given then
      redis.call('ZADD', KNOWN, exact(now + memory), id)
    end
    if pause > 0 then
      delay(now + pause, id, index, head, body)
    else
      local entry = redis.call('XADD', KEYS[index], '*', head, body)
      places[#places + 1], places[#places + 2] = id, index .. ' ' .. entry .. ' '
    end
  end
  replies[#replies + 1] = there
end
if #places > 0 then
  redis.call('HSET', LIVE, unpack(places))
end
if added > 0 then
  count('added', added)
  redis.call('ZADD', KNOWN, exact(now + REPEATED_WITHIN_MS), call)
  wake_one_worker()
end
return replies
