-- What the scripts about one saga share: its keys, the clock, and how a saga gets from state to state.
--
-- SAGA holds the saga. DUE holds it by the moment when it needs an owner: the end of a lease while it is owned, the end
-- of its wait while it waits; it is in DUE exactly while something is left to do that no person has to decide on. One
-- index a state holds it by the moment when it got there.

local SAGA, HISTORY, DUE, COUNTERS, RELEASES = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local STATES = {
  'IDLE', 'RUNNING', 'WAITING', 'COMPENSATING', 'COMPLETED', 'FAILED', 'ABORTED', 'COMPENSATION_FAILED', 'SUSPENDED',
}
local ENDED = { COMPLETED = true, FAILED = true, ABORTED = true }
local PARKED = { COMPENSATION_FAILED = true, SUSPENDED = true }
local INDEX = {}
for position, state in ipairs(STATES) do
  INDEX[state] = KEYS[5 + position]
end
local ID, RETENTION, HISTORY_LIMIT, CHANNEL = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]

-- include midas.redis clock

local function get(field)
  return redis.call('HGET', SAGA, field) or ''
end

-- Redis looks for memory once a script, at the first command that writes, and only if that is one which may need some. Sagas
-- that were begun have to be kept, ended and decided on without; so their scripts begin with one that needs none, and does
-- nothing. Only the one that begins a saga does not: where memory is short it is refused, before it wrote anything.
local function go_on_without_memory()
  redis.call('ZREM', DUE, '')
end

local function count(what)
  redis.call('HINCRBY', COUNTERS, what, 1)
end

local function note(entry)
  redis.call('RPUSH', HISTORY, exact(now) .. ' ' .. entry)
  redis.call('LTRIM', HISTORY, -HISTORY_LIMIT, -1)
end

-- Whoever waits for the saga or runs it looks again.
local function tell()
  redis.call('PUBLISH', CHANNEL, ID)
end

local function needs_owner_at(moment)
  redis.call('ZADD', DUE, exact(moment), ID)
  if moment <= now then
    redis.call('PUBLISH', CHANNEL, 'due ' .. ID)
  end
end

local function enter(state)
  local before = get('state')
  if before == state then
    return
  end
  if before ~= '' then
    redis.call('ZREM', INDEX[before], ID)
  end
  redis.call('HSET', SAGA, 'state', state)
  redis.call('ZADD', INDEX[state], exact(now), ID)
  count(state)
  note(cjson.encode({ epoch = tonumber(get('epoch')), state = state }))
  if ENDED[state] then
    redis.call('PEXPIRE', SAGA, exact(RETENTION))
    redis.call('PEXPIRE', HISTORY, exact(RETENTION))
    redis.call('ZREMRANGEBYSCORE', INDEX[state], '-inf', exact(now - RETENTION))
  end
  if ENDED[state] or PARKED[state] then
    redis.call('ZREM', DUE, ID)
    redis.call('HSET', SAGA, 'owner', '')
  end
  tell()
end
