-- What does this reader hold, as far as the server knows? Arguments: consumer, limit.
-- Returns {stream, entry, ms since it was delivered, head, ...}.
local found = {}
for index = 1, STREAM_COUNT do
  local pending = redis.pcall('XPENDING', KEYS[index], GROUP, '-', '+', ARGV[4], ARGV[3])
  if not pending.err then
    for _, item in ipairs(pending) do
      local entry = redis.call('XRANGE', KEYS[index], item[1], item[1])[1]
      local at = #found
      if entry then
        found[at + 1], found[at + 2], found[at + 3], found[at + 4] = index, item[1], item[3], entry[2][1] or ''
      else
        redis.call('XACK', KEYS[index], GROUP, item[1]) -- somebody deleted it by hand
      end
    end
  end
end
return found
