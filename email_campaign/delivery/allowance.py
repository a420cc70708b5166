"""A process's share of the limits: grants are taken in lots of at most 50 ms of work and spent at once."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from email_campaign.delivery.throttle import Limit, Recall, Throttle

LOT_SECONDS = 0.05
MEASURE_SECONDS = 0.1
PATIENCE_SECONDS = 1.0
"""A copy waits so long for its grant; beyond that its slice goes back until the next one."""


class _Lot:
    """Grants in hand, and how fast this process spends them."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting_count = 0
        self.none_until = 0.0
        self._count = 0
        self._taken_at = 0.0
        self._spent_count = 0
        self._measured_at = time.monotonic()
        self._per_second = 0.0

    def take(self) -> bool:
        """Spend one of what is left, unless it is too old."""
        if not self._count or time.monotonic() - self._taken_at > LOT_SECONDS:
            return False
        self._count -= 1
        self._spent_count += 1
        return True

    def put(self, count: int) -> None:
        """Grants that came in just now; what was left of earlier ones is worthless."""
        self._count, self._taken_at = count, time.monotonic()

    def wanted(self) -> int:
        """One for everybody who waits, and half of what is spent in a lot's life: nearly none is thrown away."""
        seconds = time.monotonic() - self._measured_at
        if seconds >= MEASURE_SECONDS:
            self._per_second = self._spent_count / seconds
            self._spent_count, self._measured_at = 0, time.monotonic()
        return max(1, self.waiting_count + int(self._per_second * LOT_SECONDS / 2))


class Allowance:
    """Leave to send, per mailing, from the limiter that all processes share."""

    def __init__(self, redis_url: str, worker_count: Callable[[], int], recall: Recall) -> None:
        self._throttle = Throttle(redis_url, worker_count, recall)
        self._limits: dict[int, tuple[Limit, ...]] = {}
        self._running: Counter[int] = Counter()
        self._lots: dict[int, _Lot] = {}
        self._lock = threading.Lock()
        self.granted_count = self.refused_count = 0

    @property
    def mailing_ids(self) -> list[int]:
        """Mailings with a run in this process."""
        with self._lock:
            return list(self._running)

    def enter(self, mailing_id: int) -> bool:
        """A run of this mailing begins; whether its limits must be set first, because they are not being watched."""
        with self._lock:
            self._running[mailing_id] += 1
            return self._running[mailing_id] == 1 or mailing_id not in self._limits

    def leave(self, mailing_id: int) -> None:
        """A run of this mailing ended."""
        with self._lock:
            self._running[mailing_id] -= 1
            if not self._running[mailing_id]:
                del self._running[mailing_id]
                self._lots.pop(mailing_id, None)
                self._limits.pop(mailing_id, None)

    def set_limits(self, limits: Mapping[int, tuple[Limit, ...]]) -> None:
        """The limits were edited; lots that were taken under the old ones are worthless."""
        for mailing_id, now in limits.items():
            if mailing_id in self._running and self._limits.get(mailing_id) != now:
                self._limits[mailing_id] = now
                self._lots.pop(mailing_id, None)

    def take_now(self, mailing_id: int) -> bool:
        """Whether one mail may go without waiting: no limit is set, or the lot at hand has some left.

        False says nothing but to ask `grant`. Called in the loop.
        """
        limits = self._limits.get(mailing_id)
        if not limits:
            return limits is not None
        lot = self._lots.get(mailing_id)
        return lot is not None and lot.take()

    async def grant(self, mailing_id: int) -> float | None:
        """None: one mail may go now. Else the seconds until one might, when these are more than a second."""
        if not self._limits.get(mailing_id):
            return None
        lot = self._lots.setdefault(mailing_id, _Lot())
        deadline = time.monotonic() + PATIENCE_SECONDS
        lot.waiting_count += 1
        try:
            async with lot.lock:
                return await self._grant_from(lot, mailing_id, deadline)
        finally:
            lot.waiting_count -= 1

    async def close(self) -> None:
        """Close the connection to the limiter."""
        await self._throttle.aclose()

    async def _grant_from(self, lot: _Lot, mailing_id: int, deadline: float) -> float | None:
        while not lot.take():
            wait = lot.none_until - time.monotonic()
            if wait > 0:
                if time.monotonic() + wait > deadline:
                    return wait
                await asyncio.sleep(wait)
            limits = self._limits.get(mailing_id, ())
            if not limits:
                return None
            grant = await self._throttle.grant(limits, lot.wanted())
            lot.put(grant.granted)
            self.granted_count += grant.granted
            self.refused_count += not grant.granted
            lot.none_until = 0.0 if grant.granted else time.monotonic() + grant.retry_after_seconds
        return None
