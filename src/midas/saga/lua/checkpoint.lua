-- What the owner says, if it is still the owner. Arguments: epoch, revision, token, 1 when an abort that was asked for
-- goes first, new state or empty, lease ms, when the next owner is needed in ms or empty when this one goes on, the signal
-- that is waited for or empty, number of fields, field, value, ..., entries of the history.
-- Returns {'ok' | 'lost' | 'abort', now, why an abort was asked for or empty}.
local epoch, revision, token, guarded, state, lease, due, signal, size = unpack(ARGV, 6)

go_on_without_memory()
if get('epoch') ~= epoch or get('revision') ~= revision then
  if get('epoch') == epoch and get('token') == token then
    return { 'ok', now, get('abort') } -- our own, whose reply was lost
  end
  count('refused')
  return { 'lost', now, '' }
end
if guarded == '1' and get('abort') ~= '' then
  return { 'abort', now, get('abort') }
end

local first = 15
local last = first + 2 * tonumber(size) - 1
for position = first, last, 2 do
  redis.call('HSET', SAGA, ARGV[position], ARGV[position + 1])
end
redis.call('HSET', SAGA, 'revision', tonumber(revision) + 1, 'token', token)
if get('goal') == 'ABORTED' and get('error') == '' then
  redis.call('HSET', SAGA, 'error', get('abort')) -- the owner was told that, and not why
end
for position = last + 1, #ARGV do
  note(ARGV[position])
end
if PARKED[state ~= '' and state or get('state')] then
  -- A step beside the one that it stands still at has ended: a person decides, and no time.
elseif due == '' then
  needs_owner_at(now + tonumber(lease))
else
  redis.call('HSET', SAGA, 'owner', '', 'awaits', signal)
  -- What came while the owner worked must not be waited for.
  local has_come = signal ~= '' and redis.call('HEXISTS', SAGA, 'signal:' .. signal) == 1
  local aborted = get('abort') ~= '' and get('goal') == ''
  needs_owner_at((has_come or aborted) and now or tonumber(due))
end
if state ~= '' then
  enter(state)
end
return { 'ok', now, get('abort') }
