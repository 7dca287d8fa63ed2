-- Milliseconds since 1970 by this server's clock, the one that all processes share; a test may say what time it is, in the
-- first argument.
local function read_clock()
  if ARGV[1] ~= '' then
    return tonumber(ARGV[1])
  end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local now = read_clock()

-- tostring() keeps 14 digits, which would break scores.
local function exact(number)
  return string.format('%.0f', number)
end
