-- in flight -> ended, waiting again, DELAYED or DEAD, by whoever holds the delivery. Arguments: ms that outcomes are kept,
-- then for each task: what (done, again, dead), stream, entry, id, unique key, type when it has a limit, and three more:
--   done:  state, outcome, ''        again: new head, delay ms, what it counts as        dead: note, outcome, ''
-- Returns one character a task: 1 settled, 0 the delivery is not this caller's any more.
local ttl = ARGV[3]
local verdicts = {}

local function again(index, entry, id, unique, result, head, body, pause)
  if redis.call('ZSCORE', CANCELLED, id) then
    conclude(id, unique, result, cjson.encode({ 'CANCELLED', entry, 'cancelled while it ran' }) .. '\n', ttl)
    count('CANCELLED', 1)
  elseif pause > 0 then
    delay(now + pause, id, came_back(index), head, body)
    wake_one_worker() -- it may be due before whoever sleeps wants to look again
  else
    append(came_back(index), id, head, body)
    wake_one_worker()
  end
end

local function bury(index, id, unique, result, head, body, note, outcome)
  redis.call('HSET', GRAVES, id, cmsgpack.pack({ index, head, body, note }))
  redis.call('ZADD', DEAD, exact(now), id)
  conclude(id, unique, result, outcome, ttl)
end

for position = 4, #ARGV, 9 do
  local what, index, entry, id = ARGV[position], tonumber(ARGV[position + 1]), ARGV[position + 2], ARGV[position + 3]
  local unique, limited = ARGV[position + 4], ARGV[position + 5]
  local first, second, third = ARGV[position + 6], ARGV[position + 7], ARGV[position + 8]
  local task = #verdicts + 1
  local result = KEYS[FIRST_RESULT + task]
  local owned
  if what == 'done' then
    owned = with_group(index, 'XACK', KEYS[index], GROUP, entry) == 1
    if owned then
      redis.call('XDEL', KEYS[index], entry)
      conclude(id, unique, result, second, ttl)
      count(first, 1)
    end
  else
    local head, body = release(index, entry)
    owned = head ~= nil
    if owned and what == 'again' then
      again(index, entry, id, unique, result, first, body, tonumber(second))
      count(third, 1)
    elseif owned then
      bury(index, id, unique, result, head, body, first, second)
      count('dead', 1)
    end
  end
  if owned then
    redis.call('ZREM', CANCELLED, id)
    if limited ~= '' then
      let_next(limited, id)
    end
    verdicts[task] = '1'
  else
    -- A repeated call lost only its reply: then the outcome that stands there names this very delivery.
    local outcome = redis.call('GET', result)
    verdicts[task] = outcome and string.find(outcome, '"' .. entry .. '"', 1, true) and '1' or '0'
  end
end
return table.concat(verdicts)
