-- What all scripts share. KEYS as keys.py lists them; after those, in some scripts, one result key a task.
-- ARGV: now ('' for this server's clock), consumer group, then the script's own.
--
-- A task is in exactly one place: an entry of a stream that nobody read (waiting), an entry in the list of pending ones
-- (in flight), a card in DELAYED or PARKED, a grave in DEAD, or it has ended. An entry is never claimed by a second
-- reader: it is taken out and appended anew, under a new id. So the id of an entry stands for one delivery, and whoever
-- can still acknowledge it owns the task.

local DELAYED, CARDS, PARKED, BUSY, PACE, LIVE, UNIQUE, KNOWN, CANCELLED, AWAITED, ALIVE, DEAD, GRAVES, STATS, TURNS, MARKER =
  unpack(KEYS, 9, 24)
local PRIORITIES, STREAM_COUNT, FIRST_RESULT = 4, 8, 24
local GROUP = ARGV[2]

-- include midas.redis clock

local function channel(name)
  return string.match(DEAD, '^{.-}:') .. name
end

local function count(name, number)
  if number ~= 0 then
    redis.call('HINCRBY', STATS, name, number)
  end
end

-- Redis looks for memory once a script, at the first command that writes, and only if that is one which may need some. Whatever
-- ends tasks has to go on without, or a queue that filled the memory could never be emptied; so it begins with one that does
-- not, and nothing. What adds tasks begins with one that does.
local function go_on_without_memory()
  redis.call('ZREM', ALIVE, '')
end

local function wake_one_worker()
  redis.call('ZADD', MARKER, 0, 'ready')
end

-- Whether one entry's id is smaller than another's.
local function is_before(one, other)
  -- As long as milliseconds have 13 digits, until 2286, ids of one length compare as text does.
  if #one == #other and string.byte(one, 14) == 45 and string.byte(other, 14) == 45 then
    return one < other
  end
  local ms, sequence = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_sequence = string.match(other, '^(%d+)-(%d+)$')
  if ms ~= other_ms then
    return tonumber(ms) < tonumber(other_ms)
  end
  return tonumber(sequence) < tonumber(other_sequence)
end

-- Runs a command that needs the group, and makes the group where it is missing: after a flush, say.
local function with_group(index, ...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err and string.find(reply.err, 'NOGROUP', 1, true) then
    redis.call('XGROUP', 'CREATE', KEYS[index], GROUP, '0', 'MKSTREAM')
    reply = redis.pcall(...)
  end
  if type(reply) == 'table' and reply.err then
    error(reply)
  end
  return reply
end

-- Streams 1 to 4 hold what is new, by priority, and 5 to 8 what came back, which stands before the new. An entry has one
-- field, whose name is the head and whose value is the body: every string less is a tenth less to be turned into Lua's.
-- Behind a task's place stands the delivery that sent it there, if one did: a settlement may be repeated.
local function append(index, id, head, body, from)
  local entry = redis.call('XADD', KEYS[index], '*', head, body)
  redis.call('HSET', LIVE, id, index .. ' ' .. entry .. ' ' .. (from or ''))
end

local function came_back(index)
  return index > PRIORITIES and index or index + PRIORITIES
end

local function put_aside(set, score, member, id, index, head, body)
  redis.call('HSET', CARDS, id, cmsgpack.pack({ index, head, body }))
  redis.call('ZADD', set, score, member)
end

local function delay(due, id, index, head, body, from)
  put_aside(DELAYED, exact(due), id, id, index, head, body)
  redis.call('HSET', LIVE, id, 'delayed ' .. (from or ''))
end

local function take_card(id)
  local card = redis.call('HGET', CARDS, id)
  if not card then
    return nil
  end
  redis.call('HDEL', CARDS, id)
  return unpack(cmsgpack.unpack(card))
end

-- Takes an entry out, if it is still in flight. Gives head and body, or nil.
local function release(index, entry)
  if with_group(index, 'XACK', KEYS[index], GROUP, entry) == 0 then
    return nil
  end
  local found = redis.call('XRANGE', KEYS[index], entry, entry)[1]
  redis.call('XDEL', KEYS[index], entry)
  return found and found[2][1] or '', found and found[2][2] or ''
end

-- What a head says, or nil where it is none: anything may have been put into a stream by hand.
local function read_head(head)
  local is_read, fields = pcall(cmsgpack.unpack, head)
  if is_read and type(fields) == 'table' and type(fields[1]) == 'string' and type(fields[2]) == 'string'
    and type(fields[5]) == 'number' and type(fields[9]) == 'string' then
    return fields
  end
end

-- Whether a place that LIVE names is that of a task which a reader holds.
local function is_in_flight(place)
  local index, entry = string.match(place, '^(%d) (%S+)')
  index = tonumber(index)
  return index ~= nil
    and with_group(index, 'XPENDING', KEYS[index], GROUP, entry, entry, 1)[1] ~= nil
end

-- A member of PARKED: the type, NUL, a digit for the priority, 15 for the place in line, and the id.
local function parked_member(task_type, index, number, id)
  return task_type .. '\0' .. string.format('%d%015.0f', (index - 1) % PRIORITIES + 1, number) .. id
end

local function first_parked(task_type)
  return redis.call('ZRANGEBYLEX', PARKED, '[' .. task_type .. '\0', '(' .. task_type .. '\1', 'LIMIT', 0, 1)[1]
end

-- Lets the first of a type's parked tasks get in line again, and gives its id; nil where there is none. LIVE remembers its
-- number: should somebody else be quicker, it is parked where it was.
local function release_parked(task_type)
  local first = first_parked(task_type)
  if not first then
    return nil
  end
  redis.call('ZREM', PARKED, first)
  local number, id = string.sub(first, #task_type + 3, #task_type + 17), string.sub(first, #task_type + 18)
  local index, head, body = take_card(id)
  if index then
    append(came_back(index), id, head, body, '#' .. number)
    wake_one_worker()
  end
  return id
end

-- A type with a limit lets the next of its parked tasks go on, unless that has to wait for its moment: then whoever takes
-- first lets it go, and has to know when.
local function let_next(task_type, id)
  local had_place = redis.call('ZREM', BUSY, task_type .. '\0' .. id) == 1
  redis.call('HDEL', PACE, 'paid ' .. id)
  local moment = redis.call('HGET', PACE, task_type)
  if not moment or tonumber(moment) <= now then
    release_parked(task_type)
  elseif had_place and first_parked(task_type) then
    wake_one_worker()
  end
end

local somebody_waits

-- Keeps how a task ended and wakes whoever waits for it; that it lives no more its caller writes.
local function keep_outcome(id, unique, result, outcome, ttl)
  if unique ~= '' and redis.call('HGET', UNIQUE, unique) == id then
    redis.call('HDEL', UNIQUE, unique)
  end
  if ttl ~= '0' then
    redis.call('SET', result, outcome, 'PX', ttl)
  end
  if somebody_waits == nil then
    somebody_waits = redis.call('ZCARD', AWAITED) > 0
  end
  if somebody_waits and redis.call('ZREM', AWAITED, id) == 1 then
    redis.call('PUBLISH', channel('ended'), id)
  end
end

local function conclude(id, unique, result, outcome, ttl)
  redis.call('HDEL', LIVE, id)
  keep_outcome(id, unique, result, outcome, ttl)
end

-- How many finished entries a stream still holds, and the newest of them: see remove.
local function left_behind(index)
  local told = redis.call('HGET', TURNS, 'left ' .. index)
  if not told then
    return 0
  end
  local number, newest = string.match(told, '^(%d+) (%S+)$')
  return tonumber(number), newest
end

-- An entry is sought from the start of its block, which costs more than all the rest. So a finished one stays until all that
-- are older are finished, too, and goes with them in one cut. But no more than `most_left` stay: of these some are removed one
-- by one while somebody takes long over an old one.
local function remove(index, entries, most_left)
  local before, newest = left_behind(index)
  local left = before + #entries
  if left == 0 then
    return
  end
  local oldest = redis.call('XPENDING', KEYS[index], GROUP)[2]
  if oldest then
    left = left - redis.call('XTRIM', KEYS[index], 'MINID', oldest)
  end
  if left > 0 then
    for position = 1, #entries do
      if not newest or is_before(newest, entries[position]) then
        newest = entries[position]
      end
    end
  end
  if left > 0 and not oldest then
    local milliseconds, sequence = string.match(newest, '^(%d+)-(%d+)$')
    redis.call('XTRIM', KEYS[index], 'MINID', milliseconds .. '-' .. exact(tonumber(sequence) + 1))
    left = 0
  elseif left > most_left then
    local younger = {}
    for position = 1, #entries do
      if is_before(oldest, entries[position]) then
        younger[#younger + 1] = entries[position]
      end
    end
    left = left - (#younger > 0 and redis.call('XDEL', KEYS[index], unpack(younger)) or 0)
  end
  if left > 0 then
    redis.call('HSET', TURNS, 'left ' .. index, left .. ' ' .. newest)
  elseif before > 0 then
    redis.call('HDEL', TURNS, 'left ' .. index)
  end
end

-- How many entries of a stream wait, and how many are in flight.
local function occupancy(index)
  local pending = redis.pcall('XPENDING', KEYS[index], GROUP)
  local held = pending.err and 0 or pending[1]
  return redis.call('XLEN', KEYS[index]) - held - left_behind(index), held
end

-- The first entry that nobody read yet, as {entry, fields}, or nil.
local function first_waiting(index)
  local groups = redis.pcall('XINFO', 'GROUPS', KEYS[index])
  if groups.err then
    return nil
  end
  local after = '0-0'
  for _, group in ipairs(groups) do
    if group[2] == GROUP then
      for position = 1, #group, 2 do
        if group[position] == 'last-delivered-id' then
          after = group[position + 1]
        end
      end
    end
  end
  return redis.call('XRANGE', KEYS[index], '(' .. after, '+', 'COUNT', 1)[1]
end

-- When a waiting entry was enqueued: what came back carries it, what is new has it in its id.
local function enqueued_at(entry)
  local fields = read_head(entry[2][1])
  local told = fields and fields[5] or 0
  return told > 0 and told or tonumber(string.match(entry[1], '^%d+'))
end
