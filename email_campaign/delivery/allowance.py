"""A process's share of the limits: grants are taken in lots of at most 50 ms of work and spent at once."""

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from email_campaign.delivery.throttle import Limit, Throttle

LOT_SECONDS = 0.05
PATIENCE_SECONDS = 1.0
"""A copy waits so long for its grant; beyond that its slice goes back until the next one."""


class _Lot:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.count = 0
        self.taken_at = 0.0

    def take(self) -> bool:
        """Spend one of what is left, unless it is too old."""
        if not self.count or time.monotonic() - self.taken_at > LOT_SECONDS:
            return False
        self.count -= 1
        return True


class Allowance:
    """Leave to send, per mailing, from the limiter that all processes share."""

    def __init__(self, redis_url: str, worker_count: Callable[[], int]) -> None:
        self._throttle = Throttle(redis_url, worker_count)
        self._limits: dict[int, tuple[Limit, ...]] = {}
        self._running: Counter[int] = Counter()
        self._lots: dict[int, _Lot] = {}
        self._lock = threading.Lock()

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
        loop = asyncio.get_running_loop()
        async with lot.lock:
            deadline = loop.time() + PATIENCE_SECONDS
            while True:
                if lot.take():
                    return None
                limits = self._limits.get(mailing_id, ())
                if not limits:
                    return None
                grant = await self._throttle.grant(limits, _lot_size(limits))
                lot.count, lot.taken_at = grant.granted, time.monotonic()
                if not grant.granted:
                    if loop.time() + grant.retry_after_seconds > deadline:
                        return grant.retry_after_seconds
                    await asyncio.sleep(grant.retry_after_seconds)

    async def close(self) -> None:
        """Close the connection to the limiter."""
        await self._throttle.aclose()


def _lot_size(limits: tuple[Limit, ...]) -> int:
    slowest = min(limit.count / limit.seconds for limit in limits)
    return max(1, math.floor(slowest * LOT_SECONDS))
