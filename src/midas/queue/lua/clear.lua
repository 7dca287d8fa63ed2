-- READY -> FINISHED as FAILED, the first of the line. Arguments: limit. Returns how many.
local ids = redis.call('ZRANGE', READY, 0, tonumber(ARGV[3]) - 1)
for _, id in ipairs(ids) do
  conclude(id, without_result('FAILED', '', 'the queue was cleared'))
end
return #ids
