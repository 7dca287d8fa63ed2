-- in flight -> ended, waiting again, DELAYED or DEAD, by whoever holds the delivery. Arguments: ms that outcomes are kept,
-- then for each task: what (done, again, dead), stream, entry, id, unique key, type when it has a limit, and three more:
--   done:  state, outcome, ''        again: new head, delay ms, what it counts as        dead: note, outcome, ''
-- The tasks' values are one MessagePack array of arrays, which costs less than nine arguments a task.
-- Returns one character a task: 1 settled, 0 the delivery is not this caller's any more.
local ttl = ARGV[3]
local verdicts = {}
local tally = {} -- what was done how often
local finished = {} -- stream -> entries of tasks that are done
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

-- An entry is sought from the start of its block, which costs more than all the rest. But tasks mostly end in the order in
-- which they were taken, and what is older than the oldest pending entry goes in one cut.
local function remove(index, entries)
  local oldest = redis.call('XPENDING', KEYS[index], GROUP)[2]
  local younger, newest = {}, nil
  for _, entry in ipairs(entries) do
    if oldest and is_before(oldest, entry) then
      younger[#younger + 1] = entry
    elseif not newest or is_before(newest, entry) then
      newest = entry
    end
  end
  if newest then
    local milliseconds, sequence = string.match(newest, '^(%d+)-(%d+)$')
    redis.call('XTRIM', KEYS[index], 'MINID', oldest or milliseconds .. '-' .. exact(tonumber(sequence) + 1))
  end
  if #younger > 0 then
    redis.call('XDEL', KEYS[index], unpack(younger))
  end
end

for task, settlement in ipairs(cmsgpack.unpack(ARGV[4])) do
  local what, index, entry, id, unique, limited, first, second, third = unpack(settlement)
  local result = KEYS[FIRST_RESULT + task]
  local owned
  if what == 'done' then
    owned = with_group(index, 'XACK', KEYS[index], GROUP, entry) == 1
    if owned then
      finished[index] = finished[index] or {}
      table.insert(finished[index], entry)
      done[#done + 1] = id
      keep_outcome(id, unique, result, second, ttl)
      tell(first)
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
  if owned then
    if somebody_cancelled then
      redis.call('ZREM', CANCELLED, id)
    end
    if index > PRIORITIES and redis.call('ZREM', BUSY, '\0' .. id) == 1 then
      let_next('', id)
    end
    if limited ~= '' then
      let_next(limited, id)
    end
    verdicts[task] = '1'
  else
    -- A repeated call lost only its reply: then this very outcome stands there, or a place that names this delivery.
    local told = redis.call('GET', result) or redis.call('HGET', LIVE, id) or ''
    local is_ours = told == second
    if what == 'again' then
      is_ours = string.sub(told, -#entry - 3) == ' ' .. entry .. '@' .. index
        or string.find(told, '["CANCELLED","' .. entry .. '"', 1, true) == 1
    end
    verdicts[task] = is_ours and '1' or '0'
  end
end
for index, entries in pairs(finished) do
  remove(index, entries)
end
if #done > 0 then
  redis.call('HDEL', LIVE, unpack(done))
end
for name, number in pairs(tally) do
  count(name, number)
end
return table.concat(verdicts)
