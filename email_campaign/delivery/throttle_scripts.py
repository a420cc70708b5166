"""The limiter's two Lua scripts, which run in the broker: all or nothing, on one clock."""

# The log merges grants that fall into the same 50th of a window under the time of the last: at most 51 entries
# whatever N is, and 98 % of N usable.
PIECES = 50
# Above this, grants are spaced (a burst of a 20th of N, then an even pace) instead of leaving as one lump a window.
PACED_ABOVE = 1_000
PACED_BURST = 20

# KEYS: the epoch, then one per limit. ARGV: wanted, the epoch this worker knows, then per limit: count, microseconds,
# whether to take the window as full, and whether an unknown log is to be looked up. Returns granted, microseconds to
# wait, the time in microseconds, the epoch, then the KEYS (by number) that are to be looked up before anything is
# granted.
#
# A limit's state is one string, {pace, time, count, time, count, …}, oldest first; it lives as long as its window. The
# epoch tells an idle limit from a lost log: if a worker knows another epoch, the broker has lost its memory
# (FLUSHALL, a restart without its file), and what it then lacks counts as full from that moment, if it is not looked
# up.
GRANT = f"local PIECES, PACED_ABOVE, BURST = {PIECES}, {PACED_ABOVE}, {PACED_BURST}"
GRANT += """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local wanted, known = tonumber(ARGV[1]), ARGV[2]

local epoch = redis.call('GET', KEYS[1])
local before = epoch
if not epoch then
  epoch = (known == '' and 'new:' or 'lost:') .. string.format('%.0f', now)
elseif known ~= '' and known ~= epoch and string.sub(epoch, 1, 4) == 'new:' then
  epoch = 'lost:' .. string.sub(epoch, 5)
end
if epoch ~= before then
  redis.call('SET', KEYS[1], epoch)
end
local lost_at = tonumber(string.match(epoch, '^lost:(.*)'))

local function read(raw, count, window, full)
  local old = raw and cmsgpack.unpack(raw) or {now}
  if not raw and lost_at and lost_at + window >= now then
    old = {now, lost_at, count}
  end
  -- The clock may have been set back: what lies ahead of it counts as now, lest it block for as long.
  local limit = {count = count, window = window, log = {}, used = 0, changed = full}
  limit.pace = math.min(old[1], now + window / BURST)
  for i = 2, #old, 2 do
    local at = math.min(old[i], now)
    if at + window >= now then
      table.insert(limit.log, at)
      table.insert(limit.log, old[i + 1])
      limit.used = limit.used + old[i + 1]
    end
  end
  if full then
    -- As of now, whatever filled it before: each worker that comes back may have granted its own share until now.
    limit.used = math.max(limit.used, count)
    limit.log = {now, limit.used}
  end
  return limit
end

local function room(limit)
  local free = limit.count - limit.used
  if limit.count > PACED_ABOVE then
    local behind = now + limit.window / BURST - math.max(limit.pace, now)
    free = math.min(free, math.floor(behind * limit.count / limit.window))
  end
  return math.max(free, 0)
end

local function take(limit, granted)
  local log, piece = limit.log, limit.window / PIECES
  if #log > 0 and math.floor(log[#log - 1] / piece) == math.floor(now / piece) then
    log[#log - 1] = now
    log[#log] = log[#log] + granted
  else
    table.insert(log, now)
    table.insert(log, granted)
  end
  limit.used = limit.used + granted
  limit.pace = math.max(limit.pace, now)
  if limit.count > PACED_ABOVE then
    limit.pace = limit.pace + granted * limit.window / limit.count
  end
end

-- Until a 100th of N fits again: fewer would be asked for too often, more would leave some unused.
local function wait(limit)
  local few = math.max(math.min(wanted, math.floor(limit.count / 100)), 1)
  if limit.count < 1 then
    return limit.window
  end
  local till, free = now, limit.count - limit.used
  for i = 1, #limit.log, 2 do
    if free >= few then
      break
    end
    free = free + limit.log[i + 1]
    till = limit.log[i] + limit.window + 1
  end
  if limit.count > PACED_ABOVE then
    till = math.max(till, limit.pace - limit.window / BURST + few * limit.window / limit.count)
  end
  return math.ceil(till - now)
end

local raws, answer = {}, {0, 0, now, epoch}
for i = 2, #KEYS do
  raws[i] = redis.call('GET', KEYS[i])
  if not raws[i] and ARGV[4 * i - 2] == '1' then
    table.insert(answer, i)
  end
end
if #answer > 4 then
  return answer
end
local limits, granted = {}, wanted
for i = 2, #KEYS do
  local at = 4 * i - 5
  limits[i] = read(raws[i], tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2] == '1')
  granted = math.min(granted, room(limits[i]))
end
local longest = 0
for i = 2, #KEYS do
  local limit = limits[i]
  if granted > 0 then
    take(limit, granted)
  end
  if granted > 0 or limit.changed then
    local state = {limit.pace, unpack(limit.log)}
    redis.call('SET', KEYS[i], cmsgpack.pack(state), 'PX', math.ceil(limit.window / 1000) + 1000)
  end
  if granted < wanted then
    longest = math.max(longest, wait(limit))
  end
end
return {granted, longest, now, epoch}
"""

# KEYS: the epoch, the limit. ARGV: the epoch under which the log was missed, microseconds of the window, then time and
# count, oldest first. Written only where nobody did since, and not when the broker lost its memory once more: grants
# may have gone out in between that were not looked up.
REMEMBER = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
local clock = redis.call('TIME')
local state = {clock[1] * 1000000 + clock[2]}
for i = 3, #ARGV do
  table.insert(state, tonumber(ARGV[i]))
end
redis.call('SET', KEYS[2], cmsgpack.pack(state), 'PX', math.ceil(ARGV[2] / 1000) + 1000)
return 1
"""
