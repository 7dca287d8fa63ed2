-- IN_FLIGHT -> FINISHED, by the owner only. Arguments: id, token, state, outcome.
-- Returns 'ok', 'lost' (the task is somebody else's or done) or 'late' (its time was over: it is TIMEOUT now).
local id, token, state, outcome = unpack(ARGV, 3)
local record = load(id)

if not record or record.token ~= token then
  return finished_by(id, token, state) and 'ok' or 'lost'
end
if score_at(DEADLINES, id) <= now then
  time_out(id, record, {})
  return state == 'TIMEOUT' and 'ok' or 'late'
end
conclude(id, outcome)
return 'ok'
