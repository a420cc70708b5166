"""A process's share of the limits: no waiting where none is needed, and never more than was granted."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from email_campaign.delivery.allowance import LOT_SECONDS, Allowance
from email_campaign.delivery.throttle import Limit
from tests.delivery.test_throttle import fresh


@contextmanager
def watched(redis_url: str, *limits: Limit) -> Iterator[Allowance]:
    """Mailing 1 is being sent under these limits."""
    allowance = Allowance(redis_url, lambda: 1)
    allowance.enter(1)
    allowance.set_limits({1: limits})
    yield allowance
    allowance.leave(1)


def test_without_a_limit_a_mail_goes_without_waiting(redis_url: str) -> None:
    with watched(redis_url) as allowance:
        assert [allowance.take_now(1) for _ in range(3)] == [True] * 3


def test_what_nobody_has_set_limits_for_does_not_go_at_once(redis_url: str) -> None:
    with watched(redis_url) as allowance:
        assert not allowance.take_now(2)


def test_a_lot_is_spent_without_waiting_and_never_exceeded(redis_url: str) -> None:
    async def walk() -> list[bool]:
        with watched(redis_url, fresh("relay", 100)) as allowance:
            before = allowance.take_now(1)
            first = await allowance.grant(1)
            taken = [allowance.take_now(1) for _ in range(6)]
            await allowance.close()
            return [before, first is None, *taken]

    # 50 ms of 100 a second are 5: one by the call that fetched them, four without waiting.
    assert asyncio.run(walk()) == [False, True, True, True, True, True, False, False]


def test_a_lot_that_was_not_spent_in_time_is_worthless(redis_url: str) -> None:
    async def walk() -> bool:
        with watched(redis_url, fresh("relay", 100)) as allowance:
            await allowance.grant(1)
            await asyncio.sleep(LOT_SECONDS + 0.01)
            late = allowance.take_now(1)
            await allowance.close()
            return late

    assert not asyncio.run(walk())


def test_a_lot_of_an_edited_limit_is_worthless(redis_url: str) -> None:
    async def walk() -> bool:
        with watched(redis_url, fresh("relay", 100)) as allowance:
            await allowance.grant(1)
            allowance.set_limits({1: (fresh("relay", 1),)})
            left = allowance.take_now(1)
            await allowance.close()
            return left

    assert not asyncio.run(walk())
