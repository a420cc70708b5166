"""Rate limits that all workers share: never above N in any sliding window, and slow but never open without a broker."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

ANSWER_SECONDS = 1.0
PROBE_SECONDS = 0.5
# Without a broker nobody is told to wait for the end of an hour's window: the broker may be back in a moment.
OWN_WAIT_SECONDS = 5.0
CONNECTIONS = 8
# The log merges grants that fall into the same 50th of a window under the time of the last: at most 51 entries
# whatever N is, and 98 % of N usable.
PIECES = 50
# Above this, grants are spaced (a burst of a 20th of N, then an even pace) instead of leaving as one lump a window.
PACED_ABOVE = 1_000
KEY_PREFIX = "throttle:"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limit:
    """Not more than `count` grants in any `seconds`. Workers share what was granted under the same `key`; count and
    seconds may differ from call to call: people edit them while mail goes out."""

    key: str
    count: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What may be sent now. `retry_after_seconds` is 0 when all that was wanted was granted, else when to ask again.

    `granted_at`: seconds since 1970 on the broker's clock, or on this machine's without a broker.
    """

    granted: int
    retry_after_seconds: float
    granted_at: float


class Throttle:
    """The limiter of one event loop. `worker_count` says how many workers share the limits at the moment."""

    def __init__(self, redis_url: str, worker_count: Callable[[], int]) -> None:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            redis_url,
            max_connections=CONNECTIONS,
            timeout=ANSWER_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),  # a connection that was cut while idle is no outage
        )
        self._client = redis.asyncio.Redis.from_pool(pool)
        self._script = self._client.register_script(_SCRIPT)
        self._worker_count = worker_count
        self._epoch = b""
        self._share: _Share | None = None
        self._owed: frozenset[str] = frozenset()
        self._probe: asyncio.Task[None] | None = None
        self._probe_at = 0.0

    async def grant(self, limits: Sequence[Limit], wanted: int) -> Grant:
        """Grant up to `wanted`, counted against all of `limits` or none, within about a second.

        A grant that was not used stays counted. While the broker is gone or slower than a second, this worker keeps
        to its own N/worker_count, beginning as if every window were full. Never raises for a broken broker.
        """
        if not limits or wanted <= 0:
            return Grant(max(wanted, 0), 0.0, time.time())
        if self._share is None:
            try:
                return await self._ask(limits, wanted)
            except (RedisError, OSError, TimeoutError) as error:
                self._fall_back(error)
        return self._grant_own_share(limits, wanted)

    async def aclose(self) -> None:
        """Close the connections to the broker."""
        if self._probe:
            self._probe.cancel()
            with suppress(asyncio.CancelledError):
                await self._probe
        await self._client.aclose()

    async def _ask(self, limits: Sequence[Limit], wanted: int) -> Grant:
        keys = [f"{KEY_PREFIX}epoch"]
        arguments: list[int | bytes] = [wanted, self._epoch]
        for limit in limits:
            keys.append(f"{KEY_PREFIX}limit:{limit.key}")
            arguments += [limit.count, limit.seconds * 1_000_000, int(limit.key in self._owed)]
        async with asyncio.timeout(ANSWER_SECONDS):
            granted, wait, now, self._epoch = await self._script(keys=keys, args=arguments)
        self._owed -= {limit.key for limit in limits}
        if self._share:
            # Another call gave the broker up while this one waited: the own share must begin after this grant.
            self._share = _Share(time.monotonic())
        return Grant(granted, wait / 1e6, now / 1e6)

    def _fall_back(self, error: Exception) -> None:
        if self._share is None:  # several calls may fail at once
            _log.warning("The broker does not answer: sending goes on at a static share of the limits (%r).", error)
            self._share = _Share(time.monotonic())

    def _grant_own_share(self, limits: Sequence[Limit], wanted: int) -> Grant:
        now = time.monotonic()
        if self._share is None:  # the probe came back between the failure and this call
            return Grant(0, PROBE_SECONDS, time.time())
        if now >= self._probe_at and (self._probe is None or self._probe.done()):
            self._probe_at = now + PROBE_SECONDS
            self._probe = asyncio.create_task(self._come_back())
        return self._share.grant(limits, wanted, workers=max(self._worker_count(), 1), now=now)

    async def _come_back(self) -> None:
        """Return to the shared limits if the broker answers; the callers meanwhile have the share."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._client.time()
        except (RedisError, OSError, TimeoutError):
            return
        if self._share:
            _log.warning("The broker answers again: sending goes on within the shared limits.")
            self._owed |= self._share.used_keys()
            self._share = None


class _Share:
    """One worker's part of the limits: a log of its own grants, under the rules of the shared one."""

    def __init__(self, since: float) -> None:
        self._since = since
        self._logs: dict[str, list[tuple[float, int]]] = {}

    def grant(self, limits: Sequence[Limit], wanted: int, *, workers: int, now: float) -> Grant:
        """Count rounds down: with more workers than grants in a window nobody sends, which is slow but never above."""
        granted, wait = wanted, 0.0
        for limit in limits:
            room, until = self._room(limit, limit.count // workers, now)
            granted = min(granted, room)
            wait = max(wait, until - now)
        if granted <= 0:
            return Grant(0, min(max(wait, PROBE_SECONDS), OWN_WAIT_SECONDS), time.time())
        for limit in limits:
            self._logs[limit.key].append((now, granted))
        return Grant(granted, 0.0 if granted == wanted else PROBE_SECONDS, time.time())

    def used_keys(self) -> frozenset[str]:
        """The limits under which something was granted."""
        return frozenset(key for key, log in self._logs.items() if log)

    def _room(self, limit: Limit, count: int, now: float) -> tuple[int, float]:
        """How much fits, and when more will."""
        # Other workers may have filled the window just before the broker went away.
        if now <= self._since + limit.seconds:
            return 0, self._since + limit.seconds
        log = [(at, granted) for at, granted in self._logs.get(limit.key, ()) if at + limit.seconds >= now]
        self._logs[limit.key] = log
        room = max(count - sum(granted for _, granted in log), 0)
        return room, now if room else (log[0][0] if log else now) + limit.seconds


# KEYS: the epoch, then one per limit. ARGV: wanted, the epoch this worker knows, then per limit: count, microseconds,
# and whether to take the window as full. Returns granted, microseconds to wait, the time in microseconds, the epoch.
#
# A limit's state is one string, {pace, time, count, time, count, …}, oldest first; it lives as long as its window. The
# epoch tells an idle limit from a lost log: if a worker knows another epoch, the broker has lost its memory
# (FLUSHALL, a restart without its file), and what it then lacks counts as full from that moment.
_SCRIPT = f"local PIECES, PACED_ABOVE = {PIECES}, {PACED_ABOVE}"
_SCRIPT += """
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

local function read(key, count, window, full)
  local raw = redis.call('GET', key)
  local old = raw and cmsgpack.unpack(raw) or {now}
  if not raw and lost_at and lost_at + window >= now then
    old = {now, lost_at, count}
  end
  -- The clock may have been set back: what lies ahead of it counts as now, lest it block for as long.
  local limit = {count = count, window = window, log = {}, used = 0, changed = full}
  limit.pace = math.min(old[1], now + window / 20)
  for i = 2, #old, 2 do
    local at = math.min(old[i], now)
    if at + window >= now then
      table.insert(limit.log, at)
      table.insert(limit.log, old[i + 1])
      limit.used = limit.used + old[i + 1]
    end
  end
  if full and limit.used < count then
    table.insert(limit.log, now)
    table.insert(limit.log, count - limit.used)
    limit.used = count
  end
  return limit
end

local function room(limit)
  local free = limit.count - limit.used
  if limit.count > PACED_ABOVE then
    local behind = now + limit.window / 20 - math.max(limit.pace, now)
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
    till = math.max(till, limit.pace - limit.window / 20 + few * limit.window / limit.count)
  end
  return math.ceil(till - now)
end

local limits, granted = {}, wanted
for i = 2, #KEYS do
  local at = 3 * i - 3
  limits[i] = read(KEYS[i], tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2] == '1')
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
