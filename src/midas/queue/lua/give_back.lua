-- IN_FLIGHT -> READY, by the owner, to the place in line it had. Arguments: id, token, counted (1 or 0), most
-- deliveries, reason. Uncounted, the delivery does not use up one of the task's chances.
-- Returns 'ok', 'lost' or 'dead' (counted, and it was the last chance).
local id, token, counted, most, reason = unpack(ARGV, 3)
local record = load(id)

if not record or record.token ~= token then
  return record and record.given_back == token and 'ok' or finished_by(id, token, 'FAILED') and 'dead' or 'lost'
end
if counted == '1' and record.deliveries >= tonumber(most) then
  bury(id, record, reason)
  return 'dead'
end
if counted == '0' then
  record.deliveries = record.deliveries - 1
end
record.given_back = token
make_ready(id, record)
return 'ok'
