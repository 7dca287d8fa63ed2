-- Somebody wants it to be undone. Arguments: reason, 1 when that person knows that the pivot had no effect.
-- Returns 'ok', 'gone', 'ended', 'undoing' (it is being undone already), 'stuck' (it was, and a person has to decide) or
-- 'pivoted' (there is no way back).
local reason, forced = ARGV[6], ARGV[7]
local state = get('state')

if state == '' then
  return 'gone'
end
if ENDED[state] then
  return 'ended'
end
if get('goal') ~= '' then
  return PARKED[state] and 'stuck' or 'undoing'
end
if get('pivoted') == '1' and not (forced == '1' and state == 'SUSPENDED') then
  return 'pivoted'
end
go_on_without_memory()
if get('abort') == '' then
  redis.call('HSET', SAGA, 'abort', reason)
  note(cjson.encode({ epoch = tonumber(get('epoch')), state = 'ABORT_ASKED', detail = reason }))
end
if get('owner') == '' then
  redis.call('HSET', SAGA, 'recoveries', 0)
  needs_owner_at(now)
  if state == 'SUSPENDED' then
    enter('RUNNING')
  end
end
redis.call('PUBLISH', CHANNEL, 'abort ' .. ID)
return 'ok'
