-- What a person decided about a saga that stands still. Arguments: epoch, revision, new state, number of fields, field,
-- value, ..., entries of the history. Returns 1, or 0 when it is not any more what the person saw.
local epoch, revision, state, size = unpack(ARGV, 6)

if get('epoch') ~= epoch or get('revision') ~= revision or not PARKED[get('state')] then
  return 0
end
go_on_without_memory()
local first = 10
local last = first + 2 * tonumber(size) - 1
for position = first, last, 2 do
  redis.call('HSET', SAGA, ARGV[position], ARGV[position + 1])
end
redis.call('HSET', SAGA, 'revision', tonumber(revision) + 1, 'recoveries', 0)
for position = last + 1, #ARGV do
  note(ARGV[position])
end
needs_owner_at(now)
enter(state)
return 1
