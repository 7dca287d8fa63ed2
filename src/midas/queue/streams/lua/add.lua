-- nothing -> waiting or DELAYED. Arguments: most waiting (0: any), ms that given ids are known, a name for this call, then for each
-- task: stream, id, head, body, delay ms (less than 0: the moment, negated), unique key, 1 when the id was given by the caller.
-- Returns for each task '' (added), or the id of the task that is there already, or '!' when it found no room.
-- The first command that writes is one that needs memory: see go_on_without_memory.
local most, memory = tonumber(ARGV[3]), tonumber(ARGV[4])
local call, REPEATED_WITHIN_MS, REFUSED = 'call ' .. ARGV[5], 10000, '!'
local given_count = (#ARGV - 5) / 7
local replies, added, places, first_refused = {}, 0, {}, nil

local function waiting()
  local count = redis.call('ZCARD', DELAYED) + redis.call('ZCARD', PARKED)
  for index = 1, STREAM_COUNT do
    count = count + (occupancy(index))
  end
  return count
end

local function is_known(id)
  local forgotten = redis.call('ZSCORE', KNOWN, id)
  return forgotten and tonumber(forgotten) > now
end

-- The task that is there already in the place of this one, or ''. One that is new takes the unique key, if there is room for it.
local function already_there(id, unique, is_given, has_room)
  if is_given and (redis.call('HEXISTS', LIVE, id) == 1 or is_known(id)) then
    return id
  end
  if unique ~= '' and (not has_room or redis.call('HSETNX', UNIQUE, unique, id) == 0) then
    return redis.call('HGET', UNIQUE, unique) or ''
  end
  return ''
end

-- The same call once more: its reply was lost, and the client repeated it. Some of its tasks may have ended by now.
if is_known(call) then
  local has_room = true
  for position = 6, #ARGV, 7 do
    local id, unique = ARGV[position + 1], ARGV[position + 5]
    has_room = has_room and not is_known(call .. ' ' .. position)
    local there
    if has_room then
      there = unique ~= '' and redis.call('HGET', UNIQUE, unique) or id
    else
      there = already_there(id, unique, ARGV[position + 6] == '1', false)
      there = there == '' and REFUSED or there
    end
    replies[#replies + 1] = there == id and '' or there
  end
  return replies
end

-- All that live are at least as many as all that wait, and easier to count.
local room = math.huge
if most > 0 and redis.call('HLEN', LIVE) + given_count > most then
  room = most - waiting()
end

for position = 6, #ARGV, 7 do
  local index, id, head, body = tonumber(ARGV[position]), ARGV[position + 1], ARGV[position + 2], ARGV[position + 3]
  local pause, unique, is_given = tonumber(ARGV[position + 4]), ARGV[position + 5], ARGV[position + 6] == '1'
  local there = (is_given or unique ~= '') and already_there(id, unique, is_given, room > added) or ''
  if there == '' and room <= added then
    there, first_refused = REFUSED, first_refused or position
  end
  if there == '' then
    added = added + 1
    if is_given then
      redis.call('ZADD', KNOWN, exact(now + memory), id)
    end
    local due = pause < 0 and -pause or now + pause
    if due > now then
      delay(due, id, index, head, body)
    else
      local place = index .. ' ' .. redis.call('XADD', KEYS[index], '*', head, body) .. ' '
      if is_given then
        redis.call('HSET', LIVE, id, place) -- at once: it may be given again in this very call
      else
        places[#places + 1], places[#places + 2] = id, place
      end
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
  if first_refused then
    redis.call('ZADD', KNOWN, exact(now + REPEATED_WITHIN_MS), call .. ' ' .. first_refused)
  end
  if string.byte(call, -1) == 48 then -- one call in sixteen: what is over does no harm, it only takes up room
    redis.call('ZREMRANGEBYSCORE', KNOWN, '-inf', exact(now))
  end
  wake_one_worker()
end
return replies
