-- in flight -> ended, waiting again, DELAYED or DEAD, by whoever holds the delivery. Arguments: ms that outcomes are kept, how
-- many finished entries a stream may hold, how many dead letters there may be (0: any), two MessagePack arrays, and the outcomes of the first one's tasks:
--   what simply is COMPLETED, most of all: {stream, {entry, ...}, {id, ...}} a stream, without unique key and limit;
--   all else, a task each: {what (done, again, dead), stream, entry, id, unique key, type when it has a limit, and three more}:
--     done:  state, outcome, ''        again: new head, delay ms, what it counts as        dead: note, outcome, ''
-- The result keys stand in this order, too. An array costs less than arguments, and one of long columns less than one of rows.
-- Returns one character a task: 1 settled, 0 the delivery is not this caller's any more. Behind them, if any dead letters were
-- thrown away, their number.
local ttl, most_left, columns, rows, OUTCOMES = ARGV[3], tonumber(ARGV[4]), ARGV[6], ARGV[7], 7
local most_dead, MOST_DISCARDED = tonumber(ARGV[5]), 1000
local verdicts = {}
local tally = {} -- what was done how often
local finished = {} -- stream -> entries of tasks that are done; there for each stream that was touched
local done = {} -- their ids
local somebody_cancelled = redis.call('ZCARD', CANCELLED) > 0

local function tell(name)
  tally[name] = (tally[name] or 0) + 1
end

local function again(index, entry, id, unique, result, head, body, pause, counted)
  local from = entry .. '@' .. index
  if redis.call('ZSCORE', CANCELLED, id) then
    conclude(id, unique, result, cjson.encode({ 'CANCELLED', entry, 'cancelled while it ran' }) .. '\n', ttl)
    tell('CANCELLED')
    return
  end
  tell(counted)
  wake_one_worker() -- a delayed one, too, may be due before whoever sleeps wants to look again
  if pause > 0 then
    delay(now + pause, id, came_back(index), head, body, from)
  else
    append(came_back(index), id, head, body, from)
  end
end

local function bury(index, id, unique, result, head, body, note, outcome)
  redis.call('HSET', GRAVES, id, cmsgpack.pack({ index, head, body, note }))
  redis.call('ZADD', DEAD, exact(now), id)
  conclude(id, unique, result, outcome, ttl)
end

-- The oldest dead letters go where there are too many. Gives how many went.
local function discard()
  local excess = redis.call('ZCARD', DEAD) - most_dead
  if most_dead == 0 or excess <= 0 then
    return ''
  end
  local oldest = redis.call('ZRANGE', DEAD, 0, math.min(excess, MOST_DISCARDED) - 1)
  redis.call('ZREM', DEAD, unpack(oldest))
  redis.call('HDEL', GRAVES, unpack(oldest))
  count('discarded', #oldest)
  return #oldest
end

local function finish(index, entry, id, unique, result, state, outcome)
  finished[index][#finished[index] + 1] = entry
  done[#done + 1] = id
  keep_outcome(id, unique, result, outcome, ttl)
  tell(state)
end

-- A repeated call lost only its reply: then this very outcome stands there, or a place that names this delivery.
local function was_settled(what, index, entry, id, result, outcome)
  local told = redis.call('GET', result) or redis.call('HGET', LIVE, id) or ''
  if what == 'again' then
    return string.sub(told, -#entry - 3) == ' ' .. entry .. '@' .. index
      or string.find(told, '["CANCELLED","' .. entry .. '"', 1, true) == 1
  end
  return told == outcome
end

local function settle(result, what, index, entry, id, unique, limited, first, second, third)
  local owned
  if what == 'done' then
    owned = redis.call('XACK', KEYS[index], GROUP, entry) == 1
    if owned then
      finish(index, entry, id, unique, result, first, second)
    end
  else
    local head, body = release(index, entry)
    owned = head ~= nil
    if owned and what == 'again' then
      again(index, entry, id, unique, result, first, body, second, third)
    elseif owned then
      bury(index, id, unique, result, head, body, first, second)
      tell('dead')
    end
  end
  if not owned then
    return was_settled(what, index, entry, id, result, second)
  end
  if somebody_cancelled then
    redis.call('ZREM', CANCELLED, id)
  end
  if index > PRIORITIES and redis.call('ZREM', BUSY, '\0' .. id) == 1 then
    let_next('', id)
  end
  if limited ~= '' then
    let_next(limited, id)
  end
  return true
end

for _, column in ipairs(cmsgpack.unpack(columns)) do
  local index, entries, ids = unpack(column)
  finished[index] = {}
  for position = 1, #entries do
    local task = #verdicts + 1
    local entry, id, result, outcome = entries[position], ids[position], KEYS[FIRST_RESULT + task], ARGV[OUTCOMES + task]
    local owned = redis.call('XACK', KEYS[index], GROUP, entry) == 1
    if owned then
      finish(index, entry, id, '', result, 'COMPLETED', outcome)
      if somebody_cancelled then
        redis.call('ZREM', CANCELLED, id)
      end
    end
    verdicts[task] = (owned or was_settled('done', index, entry, id, result, outcome)) and '1' or '0'
  end
end
for _, row in ipairs(cmsgpack.unpack(rows)) do
  local task = #verdicts + 1
  finished[row[2]] = finished[row[2]] or {}
  verdicts[task] = settle(KEYS[FIRST_RESULT + task], unpack(row)) and '1' or '0'
end
for index, entries in pairs(finished) do
  remove(index, entries, most_left)
end
if #done > 0 then
  redis.call('HDEL', LIVE, unpack(done))
end
for name, number in pairs(tally) do
  count(name, number)
end
return table.concat(verdicts) .. (tally['dead'] and discard() or '')
