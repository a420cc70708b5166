"""Places: who may have one of a process's few connections next. System mail never waits behind a campaign."""

import asyncio
import enum
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Rank(enum.IntEnum):
    """Whose turn comes first: mail that a person waits for, then a copy by itself, then the slices of large campaigns.

    Copies go by themselves in campaigns that are small or slow: they have few places and need them shortly.
    """

    SYSTEM = 0
    SINGLE = 1
    BULK = 2


class Places:
    """A number of places. A free one goes to the highest rank that waits, within a rank in turn. For one loop."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: tuple[deque[asyncio.Future[None]], ...] = tuple(deque() for _ in Rank)

    @asynccontextmanager
    async def place(self, rank: Rank) -> AsyncIterator[None]:
        """Have a place; waits for it."""
        await self._take(rank)
        try:
            yield
        finally:
            self._pass_on()

    def is_wanted(self, rank: Rank) -> bool:
        """Whether somebody of a higher rank than this waits: then a place is to be given up as soon as may be."""
        return any(self._waiting[higher] for higher in range(rank))

    async def _take(self, rank: Rank) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[rank].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting[rank].remove(turn)
            else:
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        for line in self._waiting:
            while line:
                turn = line.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1
