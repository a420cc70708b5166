"""Rate limits that all workers share: never above N in any sliding window, and slow but never open without a broker."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from email_campaign.campaigns.limits import RateLimit
from email_campaign.delivery.throttle_scripts import GRANT, PACED_ABOVE, PACED_BURST, REMEMBER

ANSWER_SECONDS = 1.0
PROBE_SECONDS = 0.5
# Without a broker nobody is told to wait for the end of an hour's window: the broker may be back in a moment.
OWN_WAIT_SECONDS = 5.0
RECALL_PATIENCE_SECONDS = 0.5
CONNECTIONS = 8
# What was granted in a window this long is looked up when the broker does not know it; a shorter one is over soon.
RECALLED_SECONDS = 60
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


def fastest_rate(limits: Sequence[RateLimit], within_seconds: float) -> float:
    """Mails a second that may be granted from empty windows for so many seconds; infinite without a limit."""
    rates = []
    for limit in limits:
        even = limit.count / limit.seconds
        at_once = limit.count / PACED_BURST if limit.count > PACED_ABOVE else limit.count
        lump = 0.0 if limit.seconds <= within_seconds else at_once / within_seconds
        rates.append(even + lump if limit.count > PACED_ABOVE else max(even, lump))
    return min(rates, default=math.inf)


Recall = Callable[[Limit, bool], Awaitable[Sequence[tuple[float, int]]]]
"""What was granted in the window of a limit, as (seconds since 1970, count), oldest first; from a lasting memory. The
second argument: the broker lost its memory within the window, so grants may be in hand of which nobody knows.
"""


class Throttle:
    """The limiter of one event loop. `worker_count` says how many workers share the limits at the moment.

    `recall` is asked when the broker knows nothing of a window of a minute or more: it was idle for so long, it is new,
    or the broker has lost its memory. Until it has answered, nothing is granted.
    """

    def __init__(self, redis_url: str, worker_count: Callable[[], int], recall: Recall) -> None:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            redis_url,
            max_connections=CONNECTIONS,
            timeout=ANSWER_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),  # a connection that was cut while idle is no outage
        )
        self._client = redis.asyncio.Redis.from_pool(pool)
        self._script = self._client.register_script(GRANT)
        self._memory = self._client.register_script(REMEMBER)
        self._worker_count = worker_count
        self._recall = recall
        self._recalls: dict[str, asyncio.Task[None]] = {}
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
                return await self._ask(limits, wanted) or await self._ask_after_recall(limits, wanted)
            except (RedisError, OSError, TimeoutError) as error:
                self._fall_back(error)
        return self._grant_own_share(limits, wanted)

    async def aclose(self) -> None:
        """Close the connections to the broker."""
        for task in filter(None, [self._probe, *self._recalls.values()]):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._client.aclose()

    async def _ask_after_recall(self, limits: Sequence[Limit], wanted: int) -> Grant:
        """What is looked up is mostly there within milliseconds."""
        recalls = [self._recalls[limit.key] for limit in limits if limit.key in self._recalls]
        await asyncio.wait(recalls, timeout=RECALL_PATIENCE_SECONDS)
        return await self._ask(limits, wanted) or Grant(0, PROBE_SECONDS, time.time())

    async def _ask(self, limits: Sequence[Limit], wanted: int) -> Grant | None:
        """None: something is looked up first."""
        keys = [f"{KEY_PREFIX}epoch"]
        arguments: list[int | bytes] = [wanted, self._epoch]
        for limit in limits:
            keys.append(f"{KEY_PREFIX}limit:{limit.key}")
            arguments += [limit.count, limit.seconds * 1_000_000, int(limit.key in self._owed)]
            arguments.append(int(limit.seconds >= RECALLED_SECONDS))
        async with asyncio.timeout(ANSWER_SECONDS):
            granted, wait, now, self._epoch, *unknown = await self._script(keys=keys, args=arguments)
        for number in unknown:
            self._look_up(limits[number - 2], now / 1e6)
        if unknown:
            return None
        self._owed -= {limit.key for limit in limits}
        if self._share:
            # Another call gave the broker up while this one waited: the own share must begin after this grant.
            self._share = _Share(time.monotonic())
        return Grant(granted, wait / 1e6, now / 1e6)

    def _look_up(self, limit: Limit, now: float) -> None:
        if limit.key not in self._recalls:
            state, _, since = self._epoch.partition(b":")
            is_lost = state == b"lost" and now - float(since) / 1e6 <= limit.seconds
            task = asyncio.create_task(self._remember(limit, self._epoch, is_lost=is_lost))
            self._recalls[limit.key] = task
            task.add_done_callback(lambda _: self._recalls.pop(limit.key, None))

    async def _remember(self, limit: Limit, epoch: bytes, *, is_lost: bool) -> None:
        """Give the broker back what it does not know of a window; whoever comes second changes nothing."""
        try:
            log = await self._recall(limit, is_lost)
            arguments: list[int | bytes] = [epoch, limit.seconds * 1_000_000]
            for at, count in log:
                arguments += [round(at * 1_000_000), count]
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._memory(keys=[f"{KEY_PREFIX}epoch", f"{KEY_PREFIX}limit:{limit.key}"], args=arguments)
        except Exception as error:
            # Whatever it is: nothing is granted, and the next call looks again.
            _log.warning("What was granted under %s cannot be looked up now (%r).", limit.key, error)

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
