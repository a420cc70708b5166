"""The shelf: orders that a send process keeps while it works on them, with room for so many bytes of attachments.

Attachments are the only large thing that a process keeps of a mailing. All its connections write from the same bytes,
so that memory grows by mailings and not by mails; the shelf bounds it, whatever is launched at once.
"""

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from email_campaign.db import SessionFactory
from email_campaign.delivery.orders import Order, attached_bytes, read_order
from email_campaign.settings import Settings

ROOM_BYTES = 30_000_000
"""Of attachments as they stand in mails: one mailing with the most that one may carry, three with the default."""
ORDERS_KEPT = 32
TURN_SECONDS = 10.0
"""So long a mailing has its room when another one waits for it."""
WAITING_SECONDS = 15.0
"""Who was refused and did not come again for so long does not wait any more; a slice comes back with a sweep."""


class Shelf:
    """The orders of one process; for all its threads."""

    def __init__(
        self,
        factory: SessionFactory,
        settings: Settings,
        *,
        room_bytes: int = ROOM_BYTES,
        turn_seconds: float = TURN_SECONDS,
    ) -> None:
        self._factory = factory
        self._settings = settings
        self._room_bytes = room_bytes
        self._turn_seconds = turn_seconds
        self._orders: OrderedDict[int, Order] = OrderedDict()
        self._since: dict[int, float] = {}
        self._users: Counter[int] = Counter()
        self._refused: dict[int, float] = {}
        self._lock = Lock()

    @contextmanager
    def order(self, mailing_id: int) -> Iterator[Order | None]:
        """The order, for as long as a slice of it is worked on; None while other mailings' attachments have the room.

        Raises as `orders.read_order`.
        """
        with self._lock:
            order = self._take(mailing_id)
            if order is not None:
                self._users[mailing_id] += 1
        try:
            yield order
        finally:
            if order is not None:
                with self._lock:
                    self._users[mailing_id] -= 1

    def _take(self, mailing_id: int) -> Order | None:
        order = self._orders.get(mailing_id)
        if order is not None and not (order.attached_bytes and self._is_over(mailing_id)):
            self._orders.move_to_end(mailing_id)
            return order
        # The lock is held while it is read: who comes for the same order meanwhile must not read it as well.
        with self._factory() as session:
            if order is not None or not self._make_room(attached_bytes(session, mailing_id)):
                self._refused[mailing_id] = time.monotonic()
                return None
            order = self._orders[mailing_id] = read_order(session, mailing_id, self._settings)
        self._since[mailing_id] = time.monotonic()
        self._refused.pop(mailing_id, None)
        return order

    def _is_over(self, mailing_id: int) -> bool:
        """Whether the mailing has had its turn, and another one waits for room."""
        now = time.monotonic()
        waits = any(now - at < WAITING_SECONDS for other, at in self._refused.items() if other != mailing_id)
        return waits and now - self._since[mailing_id] > self._turn_seconds

    def _make_room(self, needed: int) -> bool:
        """Put away orders that nobody works on, the longest unused first, until there is room. Whether there is."""
        idle = deque(one for one in self._orders if not self._users[one])
        while idle and (len(self._orders) >= ORDERS_KEPT or self._taken + needed > self._room_bytes):
            del self._orders[idle.popleft()]
        return not needed or self._taken + needed <= self._room_bytes

    @property
    def _taken(self) -> int:
        return sum(order.attached_bytes for order in self._orders.values())
