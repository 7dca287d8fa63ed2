-- The newest dead tasks. Arguments: limit. Returns {{id, record as JSON, ms when it died, body}, ...}.
local found = {}
local dead = redis.call('ZREVRANGE', DEAD, 0, tonumber(ARGV[3]) - 1, 'WITHSCORES')
for position = 1, #dead, 2 do
  local id = dead[position]
  table.insert(found, { id, redis.call('HGET', RECORDS, id), dead[position + 1], redis.call('HGET', BODIES, id) or '' })
end
return found
