-- waiting -> in flight. Arguments: consumer, lease ms, free slots, how many more may be held, age limit ms, limits (JSON: type
-- to {concurrency or 0, ms between two or 0, burst ms}; '' for none), deaths of workers after which a task has one chance
-- left, 1 when the reader holds such a task.
-- Returns {now, ms until the next delayed task is due or -1, 1 when something that came back finds no free slot,
-- stream, entry, head, body, stream, ...}.
--
-- Each priority gets four times the share of the next. What one cannot use the others get. A stream whose first task has
-- waited longer than the age limit gets the share of HIGH, so LOW is never shut out, however much there is of the others.
local consumer, lease, slots, more = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local age_limit, limits = tonumber(ARGV[7]), ARGV[8] ~= '' and cjson.decode(ARGV[8])
local last_chance, takes_risk = tonumber(ARGV[9]), ARGV[10] == '1'
local CATCH_UP_MS = 100
local WEIGHTS, AGED_WEIGHT, LOOK_AT_AGES_MS = { 64, 16, 4, 1 }, 16, 1000
local reply, held = { now, -1, 0 }, 0

go_on_without_memory()
redis.call('ZADD', ALIVE, exact(now + lease), consumer)

local function promote()
  if redis.call('ZCARD', DELAYED) == 0 then
    return
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', DELAYED, '-inf', exact(now), 'LIMIT', 0, 200)) do
    redis.call('ZREM', DELAYED, id)
    local index, head, body = take_card(id)
    if index then
      append(came_back(index), id, head, body)
    end
  end
  local nearest = redis.call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')
  reply[2] = nearest[2] and math.max(0, tonumber(nearest[2]) - now) or -1
end

local function set_back(index, entry)
  with_group(index, 'XACK', KEYS[index], GROUP, entry)
  redis.call('XDEL', KEYS[index], entry)
end

-- An entry's id says when a task was enqueued, but for the head of one that gets another entry.
local function dated(entry, fields)
  if fields[5] == 0 then
    fields[5] = tonumber(string.match(entry, '^%d+'))
  end
  return cmsgpack.pack(fields)
end

local function park(task_type, index, entry, fields, body)
  local id = fields[1]
  local number = string.match(redis.call('HGET', LIVE, id) or '', ' #(%d+)$') or redis.call('HINCRBY', TURNS, 'parked', 1)
  local member = parked_member(task_type, index, tonumber(number), id)
  set_back(index, entry)
  put_aside(PARKED, 0, member, id, index, dated(entry, fields), body)
  redis.call('HSET', LIVE, id, 'parked ' .. member)
end

-- How many more of a type with a limit may run.
local function free_places(task_type, concurrency)
  if concurrency == 0 then
    return math.huge
  end
  return concurrency - redis.call('ZLEXCOUNT', BUSY, '[' .. task_type .. '\0', '(' .. task_type .. '\1')
end

local function set_moment(task_type, moment)
  redis.call('HSET', PACE, task_type, string.format('%.3f', moment))
end

-- The next moment at which a type with a rate may start a task, and whether it has come; what may be caught up with in ms. One
-- that is more than an interval away is of a slower rate that somebody has raised since, or of a clock that was set back.
local function next_moment(task_type, interval, caught_up)
  local moment = math.max(now - caught_up, tonumber(redis.call('HGET', PACE, task_type) or '0'))
  if moment > now + interval + 1 then
    moment = now + interval
    set_moment(task_type, moment)
  end
  return moment, moment - now <= 0.5 -- the clock has whole milliseconds
end

-- Types with a rate start the best of their parked tasks at each moment. Where nobody looked in time, a worker being a little
-- late, a few moments are made good, so that the rate is reached.
local function let_go_at_their_moment()
  if not limits or redis.call('ZCARD', PARKED) == 0 then
    return
  end
  for task_type, limit in pairs(limits) do
    local concurrency, interval, burst = limit[1], limit[2], limit[3]
    if interval > 0 and first_parked(task_type) then
      local places = math.min(free_places(task_type, concurrency), 200)
      local moment, has_come = next_moment(task_type, interval, math.max(burst, CATCH_UP_MS))
      while has_come and places > 0 do
        local id = release_parked(task_type)
        if not id then
          break
        end
        if redis.call('HSETNX', PACE, 'paid ' .. id, 1) == 1 then
          moment = moment + interval
          set_moment(task_type, moment)
        end
        places, has_come = places - 1, moment - now <= 0.5
      end
    end
  end
end

local function look_again_within(ms)
  reply[2] = reply[2] < 0 and ms or math.min(reply[2], ms)
end

local function look_again_at_the_next_moment()
  for task_type, limit in pairs(limits) do
    if limit[2] > 0 and first_parked(task_type) and free_places(task_type, limit[1]) > 0 then
      look_again_within(math.max(0, math.ceil(next_moment(task_type, limit[2], 0) - now)))
    end
  end
end

-- Whether a task of a limited type may run now. One that may not is parked.
local function may_run(index, entry, head, body)
  local fields = read_head(head)
  local limit = fields and limits[fields[2]]
  if not limit then
    return true
  end
  local id, task_type = fields[1], fields[2]
  local concurrency, interval, burst = limit[1], limit[2], limit[3]
  local may = free_places(task_type, concurrency) > 0
  if may and interval > 0 and redis.call('HDEL', PACE, 'paid ' .. id) == 0 then
    local moment, has_come = next_moment(task_type, interval, burst)
    may = has_come
    if may then
      set_moment(task_type, moment + interval)
    end
  end
  if not may then
    park(task_type, index, entry, fields, body)
  elseif concurrency > 0 then
    redis.call('ZADD', BUSY, 0, task_type .. '\0' .. id)
  end
  return may
end

-- Of tasks with one chance left a reader runs one at a time: the one that kills takes no other of them along, and those that
-- merely were beside it survive. They count as a type without a name.
local function is_risk(index, head)
  local fields = index > PRIORITIES and read_head(head)
  local deaths = fields and tonumber(fields[4]) or 0
  return deaths > 0 and deaths >= last_chance, fields
end

local function may_start(index, entry, head, body)
  local risk, fields = is_risk(index, head)
  -- What the reader held when it asked may have ended by now: parked is only where somebody's end lets it go on.
  if risk and takes_risk and redis.call('ZLEXCOUNT', BUSY, '[\0', '(\1') > 0 then
    park('', index, entry, fields, body)
    return false
  end
  if limits and not may_run(index, entry, head, body) then
    return false
  end
  if risk then
    takes_risk = true
    redis.call('ZADD', BUSY, 0, '\0' .. fields[1])
  end
  return true
end

local function read(index, most)
  if most <= 0 then
    return 0
  end
  local found = with_group(index, 'XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', most, 'STREAMS', KEYS[index], '>')
  if not found then
    return 0
  end
  local entries = found[1][2]
  local size = #reply
  local may_all_start = index <= PRIORITIES and not limits
  for position = 1, #entries do
    local entry = entries[position]
    local fields = entry[2]
    if may_all_start or may_start(index, entry[1], fields[1], fields[2]) then
      reply[size + 1], reply[size + 2], reply[size + 3], reply[size + 4] = index, entry[1], fields[1], fields[2]
      size = size + 4
      held = held + 1
    end
  end
  return #entries
end

-- What came back may have brought its worker down: it is held only where it starts at once. Where nothing does, because
-- there always is something ahead, the worker is told, and holds nothing ahead until it has a free slot for it.
local function read_priority(priority, most)
  local back, got = priority + PRIORITIES, 0
  if redis.call('XLEN', KEYS[back]) > 0 then -- which costs less than to read in vain
    got = read(back, math.min(most, slots - held))
  end
  return got + read(priority, most - got)
end

local function weigh()
  local kept = redis.call('HMGET', TURNS, 'looked', 'aged', 'credit')
  local aged = kept[2] or ''
  if age_limit > 0 and now - tonumber(kept[1] or '0') >= LOOK_AT_AGES_MS then
    aged = ''
    for priority = 2, PRIORITIES do
      local first = first_waiting(priority)
      if first and now - enqueued_at(first) > age_limit then
        aged = aged .. priority
      end
    end
    redis.call('HSET', TURNS, 'looked', exact(now), 'aged', aged)
  end
  local weights = {}
  for priority, weight in ipairs(WEIGHTS) do
    local is_aged = string.find(aged, priority, 1, true)
    weights[priority] = is_aged and math.max(weight, AGED_WEIGHT) or weight
  end
  return weights, kept[3] and cmsgpack.unpack(kept[3]) or { 0, 0, 0, 0 }
end

-- Each gets its share of the places, and what is left over goes to those whose rest is largest (Hamilton's method). The rest
-- stays to everybody's credit, so that over many calls each gets what is due to him, however few places each call has.
local function share(places, open, weights, credit)
  local shares, given, total = { 0, 0, 0, 0 }, 0, 0
  for priority in pairs(open) do
    total = total + weights[priority]
  end
  for priority in pairs(open) do
    local due = credit[priority] + places * weights[priority] / total
    shares[priority] = math.max(0, math.floor(due))
    credit[priority] = due - shares[priority]
    given = given + shares[priority]
  end
  while given ~= places do
    local step, chosen = given < places and 1 or -1, nil
    for priority in pairs(open) do
      local may_change = step == 1 or shares[priority] > 0
      if may_change and (not chosen or step * credit[priority] > step * credit[chosen]) then
        chosen = priority
      end
    end
    shares[chosen], credit[chosen], given = shares[chosen] + step, credit[chosen] - step, given + step
  end
  return shares
end

promote()
let_go_at_their_moment()
local weights, credit = weigh()
local open, open_count, left = {}, 0, slots + more
for priority = 1, PRIORITIES do
  if redis.call('XLEN', KEYS[priority]) > 0 or redis.call('XLEN', KEYS[priority + PRIORITIES]) > 0 then
    open[priority], open_count = true, open_count + 1
  else
    credit[priority] = 0
  end
end
local is_contended = open_count > 1
while left > 0 and open_count > 0 do
  local shares = share(left, open, weights, credit)
  for priority = 1, PRIORITIES do
    if shares[priority] > 0 then
      local got = read_priority(priority, shares[priority])
      left = left - got
      if got < shares[priority] then
        open[priority], open_count, credit[priority] = nil, open_count - 1, 0
      end
    end
  end
end
if limits and redis.call('ZCARD', PARKED) > 0 then
  look_again_at_the_next_moment()
end
if is_contended then
  redis.call('HSET', TURNS, 'credit', cmsgpack.pack(credit))
end
if held >= slots then
  for index = PRIORITIES + 1, STREAM_COUNT do
    if redis.call('XLEN', KEYS[index]) > 0 and first_waiting(index) then
      reply[3] = 1
    end
  end
end
if left <= 0 then
  wake_one_worker()
end
return reply
