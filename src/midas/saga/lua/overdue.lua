-- How many sagas are due. Keys: the sets of sagas that are due. Returns a number for each.
local found = {}
for position, due in ipairs(KEYS) do
  table.insert(found, redis.call('ZCOUNT', due, '-inf', exact(now)))
end
return found
