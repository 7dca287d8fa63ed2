-- Where a task is. Arguments: id.
-- Returns {state, outcome or '', ms until its time is over (0 when that does not matter), {id, type} if it timed out now}.
local id = ARGV[3]
local waiting = {}
local record = load(id)

if record and is_overdue(id) then
  time_out(id, record, waiting)
end
local kept_until = score_at(FINISHED, id)
if kept_until > now then
  return { 'FINISHED', redis.call('HGET', RESULTS, id), 0, waiting }
end
if kept_until >= 0 or score_at(FORGOTTEN, id) >= 0 then
  return { 'EXPIRED', '', 0, waiting }
end
local left = math.max(0, score_at(DEADLINES, id) - now)
if score_at(IN_FLIGHT, id) >= 0 then
  return { 'PROCESSING', '', left, waiting }
end
if score_at(READY, id) >= 0 then
  return { 'PENDING', '', left, waiting }
end
return { 'UNKNOWN', '', 0, waiting }
