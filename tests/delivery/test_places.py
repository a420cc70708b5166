"""Places: who waits for a connection gets it by rank and in turn, and no place is ever lost."""

import asyncio
from collections.abc import Awaitable, Callable

from email_campaign.delivery.places import Places, Rank


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def with_a_limit() -> None:
        async with asyncio.timeout(5):
            await scene()

    asyncio.run(with_a_limit())


class Taker:
    """Takes a place, says so, and keeps it until it is told to go."""

    def __init__(self, places: Places, rank: Rank, came: list["Taker"]) -> None:
        self.rank = rank
        self.may_go = asyncio.Event()
        self.task = asyncio.ensure_future(self._take(places, came))

    async def _take(self, places: Places, came: list["Taker"]) -> None:
        async with places.place(self.rank):
            came.append(self)
            await self.may_go.wait()

    async def leave(self) -> None:
        self.may_go.set()
        await self.task


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_free_place_goes_to_the_highest_rank_and_within_it_to_who_came_first() -> None:
    async def scene() -> None:
        places, came = Places(1), list[Taker]()
        ranks = [Rank.BULK, Rank.BULK, Rank.SINGLE, Rank.SYSTEM, Rank.SINGLE, Rank.BULK]
        takers = []
        for rank in ranks:
            takers.append(Taker(places, rank, came))
            await settle()
        for turn in range(len(ranks)):
            await came[turn].leave()
            await settle()
        first, bulk, single, system, second_single, last = takers
        assert came == [first, system, single, second_single, bulk, last]

    run(scene)


def test_a_place_is_wanted_only_by_a_higher_rank() -> None:
    async def scene() -> None:
        places, came = Places(1), list[Taker]()
        Taker(places, Rank.BULK, came)
        await settle()
        single = Taker(places, Rank.SINGLE, came)
        await settle()
        wanted = [places.is_wanted(rank) for rank in (Rank.SYSTEM, Rank.SINGLE, Rank.BULK)]
        assert wanted == [False, False, True]
        await came[0].leave()
        await settle()
        assert not places.is_wanted(Rank.BULK)
        await single.leave()

    run(scene)


def test_who_gives_up_waiting_takes_no_place_along() -> None:
    async def scene() -> None:
        places, came = Places(1), list[Taker]()
        async with places.place(Rank.BULK):
            waiting, in_time = Taker(places, Rank.SYSTEM, came), Taker(places, Rank.SYSTEM, came)
            await settle()
            waiting.task.cancel()
            await settle()
        in_time.task.cancel()  # its turn has come, and it has not noticed yet
        await settle()
        after = Taker(places, Rank.BULK, came)
        await settle()
        assert came == [after]
        await after.leave()

    run(scene)
