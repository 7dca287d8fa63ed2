-- What every move shares: the places a task can be in and the steps between them.
--
-- A task is in exactly one of READY (it waits), IN_FLIGHT (somebody runs it), FINISHED (it has an outcome) and
-- FORGOTTEN (its outcome is gone, but that it existed is still known). A dead task has an outcome and is listed in
-- DEAD as well. Where the id stands is the state: there is no second field that could disagree.

local READY, IN_FLIGHT, DEADLINES, ARRIVALS, RECORDS, BODIES, RESULTS, FINISHED, FORGOTTEN, DEAD, SEQUENCE, MARKER =
  unpack(KEYS)
local SETTINGS = cjson.decode(ARGV[2])

-- 101 priorities times 2^46 sequence numbers stay below 2^53, up to which a double counts exactly.
local ONE_PRIORITY = 2 ^ 46
local LOWEST_URGENCY = 100

-- include midas.redis clock

local function load(id)
  local text = redis.call('HGET', RECORDS, id)
  return text and cjson.decode(text)
end

local function save(id, record)
  redis.call('HSET', RECORDS, id, cjson.encode(record))
end

local function score_at(key, id)
  return tonumber(redis.call('ZSCORE', key, id) or '-1')
end

-- One member is enough: whoever takes it takes a task and puts it back when more are waiting.
local function wake_one_worker()
  redis.call('ZADD', MARKER, 0, 'ready')
end

local function leave_all_places(id)
  redis.call('ZREM', READY, id)
  redis.call('ZREM', IN_FLIGHT, id)
  redis.call('ZREM', DEADLINES, id)
  redis.call('ZREM', ARRIVALS, id)
end

-- The score is the one of the first time, so a task that comes back stands before all that were enqueued after it.
local function make_ready(id, record)
  record.token = ''
  -- First of all: Redis refuses a script for want of memory only where its first write may need some, and what comes back, or
  -- is given out, has to go on without. A new task was refused before.
  redis.call('ZREM', IN_FLIGHT, id)
  save(id, record)
  redis.call('ZADD', READY, record.score, id)
  redis.call('ZADD', ARRIVALS, exact(record.enqueued), id)
  redis.call('ZADD', DEADLINES, exact(now + record.max_wait), id)
  wake_one_worker()
end

local function announce(id, outcome)
  redis.call('HSET', RESULTS, id, outcome)
  redis.call('ZADD', FINISHED, exact(now + SETTINGS.result_ttl), id)
  redis.call('PUBLISH', SETTINGS.channel, id)
end

local function conclude(id, outcome)
  leave_all_places(id)
  redis.call('HDEL', RECORDS, id)
  redis.call('HDEL', BODIES, id)
  announce(id, outcome)
end

-- An outcome is one line of JSON, {state, token, reason}, and after it the result, if there is one.
local function without_result(state, token, reason)
  return cjson.encode({ state, token, reason }) .. '\n'
end

-- Time is up: a waiting task past its wait, or a running one whose owner kept its lease to the end. An owner whose
-- lease ended before that died, and its task is recovered instead, however late somebody looks.
local function is_overdue(id)
  local deadline = score_at(DEADLINES, id)
  if deadline < 0 or deadline > now then
    return false
  end
  local lease = score_at(IN_FLIGHT, id)
  return lease < 0 or lease >= deadline
end

-- Appends id and type to waiting when nobody was running it, for nobody else can count it then.
local function time_out(id, record, waiting)
  if record.token == '' then
    table.insert(waiting, id)
    table.insert(waiting, record.type)
    conclude(id, without_result('TIMEOUT', '', 'waited longer than ' .. record.max_wait / 1000 .. ' s'))
  else
    conclude(id, without_result('TIMEOUT', record.token, 'ran longer than ' .. record.timeout / 1000 .. ' s'))
  end
end

-- Dead tasks keep record and body so that somebody can look at them; past the limit the oldest leave.
local function bury(id, record, reason)
  local token = record.token
  leave_all_places(id)
  record.token = ''
  record.reason = reason
  save(id, record)
  redis.call('ZADD', DEAD, exact(now), id)
  announce(id, without_result('FAILED', token, reason))
  if redis.call('ZCARD', DEAD) > SETTINGS.dead_limit then
    local oldest = redis.call('ZPOPMIN', DEAD)[1]
    redis.call('HDEL', RECORDS, oldest)
    redis.call('HDEL', BODIES, oldest)
  end
end

-- Results past their hour become mere memories; memories past their time or number go.
local function forget(limit)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', FINISHED, '-inf', exact(now), 'LIMIT', 0, limit)) do
    redis.call('ZREM', FINISHED, id)
    redis.call('HDEL', RESULTS, id)
    redis.call('ZADD', FORGOTTEN, exact(now + SETTINGS.remember), id)
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', FORGOTTEN, '-inf', exact(now), 'LIMIT', 0, limit)) do
    redis.call('ZREM', FORGOTTEN, id)
  end
  local surplus = redis.call('ZCARD', FORGOTTEN) - SETTINGS.remember_limit
  if surplus > 0 then
    redis.call('ZREMRANGEBYRANK', FORGOTTEN, 0, math.min(surplus, limit) - 1)
  end
end

-- Was the outcome that stands here written by this very delivery? Then a repeated call lost only its reply.
local function finished_by(id, token, state)
  local outcome = redis.call('HGET', RESULTS, id)
  if not outcome then
    return false
  end
  local fields = cjson.decode(string.match(outcome, '^[^\n]*'))
  return fields[1] == state and fields[2] == token
end
