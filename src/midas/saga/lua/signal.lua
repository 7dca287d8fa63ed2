-- Something that the saga waits for, or will wait for. Arguments: signal, payload. The first of a name counts.
-- Returns 'ok', 'gone' or 'ended'.
local signal, payload = ARGV[6], ARGV[7]
local state = get('state')

if state == '' then
  return 'gone'
end
if ENDED[state] then
  return 'ended'
end
go_on_without_memory()
if redis.call('HSETNX', SAGA, 'signal:' .. signal, payload) == 1 then
  note(cjson.encode({ epoch = tonumber(get('epoch')), state = 'SIGNAL', detail = signal }))
end
if state == 'WAITING' and get('awaits') == signal then
  needs_owner_at(now)
end
return 'ok'
