-- Who died, and what did they hold? Arguments: limit, lease ms for readers that nobody vouches for.
-- Returns {stream, entry, head, consumer, ...} of at most about `limit` entries. Readers that hold nothing are removed here.
local limit, lease = tonumber(ARGV[3]), tonumber(ARGV[4])
local found, size = {}, 0

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
      for _, item in ipairs(pending) do
        local entry = redis.call('XRANGE', KEYS[index], item[1], item[1])[1]
        if entry then
          holds = true
          if size < limit then
            local at = #found
            found[at + 1], found[at + 2], found[at + 3], found[at + 4] = index, item[1], entry[2][2], consumer
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

-- Notes whose time is over.
redis.call('ZREMRANGEBYSCORE', KNOWN, '-inf', exact(now))
redis.call('ZREMRANGEBYSCORE', AWAITED, '-inf', exact(now))
return found
