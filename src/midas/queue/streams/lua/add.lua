-- nothing -> waiting or DELAYED. Arguments: most waiting (0: any), ms that given ids are known, then for each task: stream,
-- id, head, body, delay ms, unique key, 1 when the id was given by the caller.
-- Returns 'full', or for each task '' (added), or the id of the task that is there already.
local most, memory = tonumber(ARGV[3]), tonumber(ARGV[4])
local given_count = (#ARGV - 4) / 7

if most > 0 then
  local waiting = redis.call('ZCARD', DELAYED) + redis.call('ZCARD', PARKED)
  for index = 1, STREAM_COUNT do
    waiting = waiting + redis.call('XLEN', KEYS[index])
  end
  if waiting + given_count > most then
    return 'full'
  end
end

local replies, added = {}, 0
for position = 5, #ARGV, 7 do
  local index, id, head, body = tonumber(ARGV[position]), ARGV[position + 1], ARGV[position + 2], ARGV[position + 3]
  local pause, unique, given = tonumber(ARGV[position + 4]), ARGV[position + 5], ARGV[position + 6] == '1'
  local there = ''
  if given then
    if redis.call('HEXISTS', LIVE, id) == 1 or tonumber(redis.call('ZSCORE', KNOWN, id) or '0') > now then
      there = id
    else
      redis.call('ZADD', KNOWN, exact(now + memory), id)
    end
  end
  if there == '' and unique ~= '' and redis.call('HSETNX', UNIQUE, unique, id) == 0 then
    there = redis.call('HGET', UNIQUE, unique)
  end
  if there == '' then
    added = added + 1
    if pause > 0 then
      delay(now + pause, id, index, head, body)
    else
      append(index, id, head, body)
    end
  end
  replies[#replies + 1] = there
end
if added > 0 then
  count('added', added)
  wake_one_worker()
end
return replies
