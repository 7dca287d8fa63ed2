-- IN_FLIGHT -> DEAD, by the owner, who cannot make sense of the task. Arguments: id, token, reason.
-- Returns 'ok' or 'lost'.
local id, token, reason = unpack(ARGV, 3)
local record = load(id)

if not record or record.token ~= token then
  return finished_by(id, token, 'FAILED') and 'ok' or 'lost'
end
bury(id, record, reason)
return 'ok'
