-- Who died, and what did they hold? Arguments: limit, lease ms for readers that nobody vouches for.
-- Returns {stream, entry, head, consumer, ...} of at most about `limit` entries. Readers that hold nothing are removed here.
local limit, lease = tonumber(ARGV[3]), tonumber(ARGV[4])
local found, size = {}, 0

go_on_without_memory()

-- Readers without a lease: the set was lost, or a reader was made by hand. They get a lease, and then they lapse.
for index = 1, STREAM_COUNT do
  local readers = redis.pcall('XINFO', 'CONSUMERS', KEYS[index], GROUP)
  if not readers.err then
    for _, reader in ipairs(readers) do
      if not redis.call('ZSCORE', ALIVE, reader[2]) then
        redis.call('ZADD', ALIVE, exact(now + lease), reader[2])
      end
    end
  end
end

for _, consumer in ipairs(redis.call('ZRANGEBYSCORE', ALIVE, '-inf', exact(now), 'LIMIT', 0, 20)) do
  local holds = false
  for index = 1, STREAM_COUNT do
    local pending = redis.pcall('XPENDING', KEYS[index], GROUP, '-', '+', math.max(1, limit - size), consumer)
    if not pending.err then
      holds = holds or #pending > 0 -- there may be more of them than these
      for _, item in ipairs(pending) do
        local entry = redis.call('XRANGE', KEYS[index], item[1], item[1])[1]
        if entry then
          if size < limit then
            local at = #found
            found[at + 1], found[at + 2], found[at + 3], found[at + 4] = index, item[1], entry[2][1] or '', consumer
            size = size + 1
          end
        else
          redis.call('XACK', KEYS[index], GROUP, item[1]) -- somebody deleted it by hand
        end
      end
    end
  end
  if not holds then
    -- Only here, where it was just seen that nothing is pending: a reader takes its pending entries with it.
    for index = 1, STREAM_COUNT do
      redis.pcall('XGROUP', 'DELCONSUMER', KEYS[index], GROUP, consumer)
    end
    redis.call('ZREM', ALIVE, consumer)
  end
end

-- A type whose parked tasks nobody lets go on: its limit was taken back, or who ended the last of its runs did not know it.
-- One with a rate has its next moment ahead of it, or not far behind, while somebody lets its tasks go.
local FORGOTTEN_MS = 10000
local after = '-'
for _ = 1, 20 do
  local first = redis.call('ZRANGEBYLEX', PARKED, after, '+', 'LIMIT', 0, 1)[1]
  if not first then
    break
  end
  local task_type = string.match(first, '^[^%z]*')
  local from, to = '[' .. task_type .. '\0', '(' .. task_type .. '\1'
  for _, member in ipairs(redis.call('ZRANGEBYLEX', BUSY, from, to)) do
    local id = string.sub(member, #task_type + 2)
    if not is_in_flight(redis.call('HGET', LIVE, id) or '') then
      let_next(task_type, id)
    end
  end
  local moment = tonumber(redis.call('HGET', PACE, task_type) or '0')
  if redis.call('ZLEXCOUNT', BUSY, from, to) == 0 and moment < now - FORGOTTEN_MS then
    for _ = 1, limit do
      if not release_parked(task_type) then
        break
      end
    end
  end
  after = to
end

-- What is finished, and stayed behind an entry that went another way.
for index = 1, STREAM_COUNT do
  if left_behind(index) > 0 then
    remove(index, {}, 0)
  end
end

-- Notes whose time is over.
redis.call('ZREMRANGEBYSCORE', KNOWN, '-inf', exact(now))
redis.call('ZREMRANGEBYSCORE', AWAITED, '-inf', exact(now))
return found
