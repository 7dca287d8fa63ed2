-- READY -> IN_FLIGHT, the first in line. Arguments: token, worker, lease ms.
-- Returns {task or {}, {id, type, ...} of those whose wait was over}.
local token, worker, lease = ARGV[3], ARGV[4], tonumber(ARGV[5])
local waiting = {}

local function deliver(id, record)
  record.token = token
  record.worker = worker
  record.deliveries = record.deliveries + 1
  -- Half the task's own time at most, or a dead worker's task would time out before anybody took it back.
  record.lease = math.min(lease, math.floor(record.timeout / 2))
  save(id, record)
  redis.call('ZREM', ARRIVALS, id)
  redis.call('ZADD', IN_FLIGHT, exact(now + record.lease), id)
  redis.call('ZADD', DEADLINES, exact(now + record.timeout), id)
  if redis.call('ZCARD', READY) > 0 then
    wake_one_worker()
  else
    redis.call('DEL', MARKER)
  end
  local body = redis.call('HGET', BODIES, id) or ''
  return { id, body, record.type, record.priority, record.timeout, record.lease, record.deliveries, record.enqueued, now }
end

-- Bounded: a long backlog of tasks nobody waits for any more must not hold up the server.
for _ = 1, 100 do
  local id = redis.call('ZPOPMIN', READY)[1]
  if not id then
    redis.call('DEL', MARKER)
    return { {}, waiting }
  end
  local record = load(id)
  if not record then
    leave_all_places(id) -- somebody deleted half of it by hand
  elseif score_at(DEADLINES, id) <= now then
    time_out(id, record, waiting)
  else
    return { deliver(id, record), waiting }
  end
end
wake_one_worker()
return { {}, waiting }
