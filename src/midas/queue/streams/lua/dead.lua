-- What was given up? Arguments: limit, then ids; without ids the latest. Returns {id, ms, stream, head, body, note, ...}.
local found = {}
local function add(id, died)
  local grave = redis.call('HGET', GRAVES, id)
  if grave and died then
    local at, parts = #found, cmsgpack.unpack(grave)
    found[at + 1], found[at + 2] = id, died
    for part = 1, 4 do
      found[at + 2 + part] = parts[part]
    end
  end
end
if #ARGV > 3 then
  for position = 4, #ARGV do
    add(ARGV[position], redis.call('ZSCORE', DEAD, ARGV[position]))
  end
else
  local latest = redis.call('ZREVRANGE', DEAD, 0, tonumber(ARGV[3]) - 1, 'WITHSCORES')
  for position = 1, #latest, 2 do
    add(latest[position], latest[position + 1])
  end
end
return found
