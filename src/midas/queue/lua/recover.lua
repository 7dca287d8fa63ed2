-- IN_FLIGHT with a lapsed lease -> READY, or DEAD when it took too many workers with it; what is overdue -> FINISHED.
-- Arguments: limit, most deliveries.
-- Returns {recovered, buried, {id, type, ...} whose wait was over, 1 when there may be more}.
local limit, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local recovered, buried, waiting = 0, 0, {}

local lapsed = redis.call('ZRANGEBYSCORE', IN_FLIGHT, '-inf', exact(now), 'LIMIT', 0, limit)
for _, id in ipairs(lapsed) do
  local record = load(id)
  if not record then
    leave_all_places(id) -- somebody deleted half of it by hand
  elseif is_overdue(id) then
    time_out(id, record, waiting)
  elseif record.deliveries >= most then
    bury(id, record, 'lost its worker ' .. record.deliveries .. ' times, last ' .. record.worker)
    buried = buried + 1
  else
    make_ready(id, record)
    recovered = recovered + 1
  end
end

local overdue = redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', exact(now), 'LIMIT', 0, limit)
for _, id in ipairs(overdue) do
  local record = load(id)
  if not record then
    leave_all_places(id)
  elseif is_overdue(id) then
    time_out(id, record, waiting)
  end
end
forget(limit)
return { recovered, buried, waiting, (#lapsed == limit or #overdue == limit) and 1 or 0 }
