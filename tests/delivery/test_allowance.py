"""A process's share of the limits: no waiting where none is needed, and never more than was granted."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from email_campaign.delivery.allowance import LOT_SECONDS, Allowance
from email_campaign.delivery.throttle import Limit
from tests.delivery.test_throttle import fresh, nothing_known


@contextmanager
def watched(redis_url: str, *limits: Limit) -> Iterator[Allowance]:
    """Mailing 1 is being sent under these limits."""
    allowance = Allowance(redis_url, lambda: 1, nothing_known)
    allowance.enter(1)
    allowance.set_limits({1: limits})
    yield allowance
    allowance.leave(1)


async def grants_in_hand(allowance: Allowance) -> None:
    """Work at full speed until grants are taken in lots and some are left."""
    while not allowance.take_now(1):
        await asyncio.gather(*(allowance.grant(1) for _ in range(5)))
        await asyncio.sleep(0.02)


def test_without_a_limit_a_mail_goes_without_waiting(redis_url: str) -> None:
    with watched(redis_url) as allowance:
        assert [allowance.take_now(1) for _ in range(3)] == [True] * 3


def test_what_nobody_has_set_limits_for_does_not_go_at_once(redis_url: str) -> None:
    with watched(redis_url) as allowance:
        assert not allowance.take_now(2)


def test_a_lot_is_spent_without_waiting_and_never_exceeded(redis_url: str) -> None:
    async def walk() -> tuple[int, int]:
        with watched(redis_url, fresh("relay", 200)) as allowance:
            until, at_once, waited = time.monotonic() + 0.9, 0, 0
            while time.monotonic() < until:
                if allowance.take_now(1):
                    at_once += 1
                elif await allowance.grant(1) is None and time.monotonic() < until:
                    waited += 1
                await asyncio.sleep(0.002)
            await allowance.close()
            return at_once, waited

    at_once, waited = asyncio.run(walk())
    assert at_once > waited, "most mails find a grant in hand"
    assert at_once + waited <= 200


def test_a_lot_that_was_not_spent_in_time_is_worthless(redis_url: str) -> None:
    async def walk() -> bool:
        with watched(redis_url, fresh("relay", 10_000)) as allowance:
            await grants_in_hand(allowance)
            await asyncio.sleep(LOT_SECONDS + 0.01)
            late = allowance.take_now(1)
            await allowance.close()
            return late

    assert not asyncio.run(walk())


def test_a_lot_of_an_edited_limit_is_worthless(redis_url: str) -> None:
    async def walk() -> bool:
        with watched(redis_url, fresh("relay", 10_000)) as allowance:
            await grants_in_hand(allowance)
            allowance.set_limits({1: (fresh("relay", 1),)})
            left = allowance.take_now(1)
            await allowance.close()
            return left

    assert not asyncio.run(walk())
