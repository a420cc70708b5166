"""The limiter on a real broker: never above N in any window, well used, and slow but never open without its broker."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import redis

from email_campaign.delivery.throttle import Limit, Recall, Throttle
from email_campaign.delivery.throttle_scripts import GRANT
from email_campaign.local import ports, valkey
from email_campaign.local.programs import Lifeline, running

Log = list[tuple[float, int]]


async def nothing_known(_limit: Limit, _is_lost: bool) -> list[tuple[float, int]]:
    return []


@asynccontextmanager
async def clients(url: str, count: int, recall: Recall = nothing_known) -> AsyncIterator[list[Throttle]]:
    opened = [Throttle(url, lambda: count, recall) for _ in range(count)]
    try:
        yield opened
    finally:
        for throttle in opened:
            await throttle.aclose()


async def spend(throttle: Throttle, limits: list[Limit], lot: int, until: float, *, patience: float = 60) -> Log:
    """Ask for lots, again when told or when out of patience; what was granted when, by the limiter's clock."""
    log = []
    while time.monotonic() < until:
        grant = await throttle.grant(limits, lot)
        if grant.granted:
            log.append((grant.granted_at, grant.granted))
        if grant.granted < lot:
            await asyncio.sleep(min(grant.retry_after_seconds, patience, max(until - time.monotonic(), 0)))
    return log


async def spend_all(
    throttles: list[Throttle], limits: list[Limit], lot: int, seconds: float, *, patience: float = 60
) -> Log:
    until = time.monotonic() + seconds
    logs = await asyncio.gather(*(spend(throttle, limits, lot, until, patience=patience) for throttle in throttles))
    return sorted(entry for log in logs for entry in log)


def most_in_a_window(log: Log, seconds: float) -> int:
    most = used = first = 0
    for at, count in log:
        used += count
        while at - log[first][0] >= seconds:
            used -= log[first][1]
            first += 1
        most = max(most, used)
    return most


def fresh(name: str, count: int, seconds: int = 1) -> Limit:
    return Limit(f"{name}:{time.monotonic_ns()}", count, seconds)


@pytest.fixture
def broker(lifeline: Lifeline, services_dir: Path) -> Iterator[str]:
    """A Valkey of this test's own, to be mistreated."""
    server = valkey.prepare(services_dir / "mistreated", port=ports.free_port(), durable=False)
    with running(lifeline, server.program(), services_dir / "mistreated.log"):
        yield server.url


@contextmanager
def stopped(url: str) -> Iterator[None]:
    with redis.Redis.from_url(url) as client:
        pid = int(client.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_no_window_is_exceeded_and_nearly_all_is_used(redis_url: str) -> None:
    cases = {fresh("relay", count): lot for count, lot in [(7, 1), (100, 3), (900, 20), (3_000, 40)]}

    async def walk(limit: Limit, lot: int) -> Log:
        async with clients(redis_url, 4) as throttles:
            return await spend_all(throttles, [limit], lot, 3.6)

    async def walks() -> list[Log]:
        return await asyncio.gather(*(walk(limit, lot) for limit, lot in cases.items()))

    for limit, log in zip(cases, asyncio.run(walks()), strict=True):
        assert most_in_a_window(log, 1.0) <= limit.count
        assert most_in_a_window(log, 2.0) >= 0.95 * 2 * limit.count, "the best two seconds, for the machine may be busy"


def test_many_grants_are_spaced_instead_of_leaving_as_a_lump(redis_url: str) -> None:
    async def walk() -> int:
        async with clients(redis_url, 1) as (throttle,):
            return (await throttle.grant([fresh("relay", 10_000)], 10_000)).granted

    assert asyncio.run(walk()) == 500


def test_all_limits_are_counted_or_none(redis_url: str) -> None:
    wide, narrow = fresh("relay", 100, 60), fresh("campaign", 4, 60)

    async def walk() -> list[int]:
        async with clients(redis_url, 1) as (throttle,):
            asked = [([wide, narrow], 3), ([narrow, wide], 10), ([wide, narrow], 10), ([wide], 100), ([narrow], 1)]
            return [(await throttle.grant(limits, wanted)).granted for limits, wanted in asked]

    assert asyncio.run(walk()) == [3, 1, 0, 96, 0]


def test_it_says_when_to_ask_again(redis_url: str) -> None:
    limit = fresh("relay", 5, 2)

    async def walk() -> list[float]:
        async with clients(redis_url, 1) as (throttle,):
            enough = await throttle.grant([limit], 5)
            refused = await throttle.grant([limit], 1)
            await asyncio.sleep(refused.retry_after_seconds)
            again = await throttle.grant([limit], 1)
            assert (enough.granted, refused.granted, again.granted) == (5, 0, 1)
            return [enough.retry_after_seconds, refused.retry_after_seconds]

    none, wait = asyncio.run(walk())
    assert none == 0
    assert 1.5 < wait <= 2.001


def test_without_limits_everything_is_granted_without_a_broker() -> None:
    async def walk() -> int:
        async with clients("redis://127.0.0.1:1/0", 1) as (throttle,):
            return (await throttle.grant([], 50)).granted

    assert asyncio.run(walk()) == 50


def test_a_limit_of_nothing_grants_nothing(redis_url: str) -> None:
    async def walk() -> tuple[int, float]:
        async with clients(redis_url, 1) as (throttle,):
            grant = await throttle.grant([fresh("relay", 0, 3)], 5)
            return grant.granted, grant.retry_after_seconds

    assert asyncio.run(walk()) == (0, 3)


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(50, 10, 0), (50, 60, 10), (50, 5_000, 250), (5_000, 300, 50)]
)
def test_an_edited_limit_acts_at_once_and_respects_what_was_granted(
    redis_url: str, before: int, after: int, expected: int
) -> None:
    old = fresh("relay", before, 60)

    async def walk() -> int:
        async with clients(redis_url, 1) as (throttle,):
            await throttle.grant([old], 10_000)
            return (await throttle.grant([Limit(old.key, after, 60)], 10_000)).granted

    assert asyncio.run(walk()) == expected


def test_what_was_granted_is_forgotten_by_itself(redis_url: str) -> None:
    limit = fresh("relay", 5, 7)

    async def walk() -> None:
        async with clients(redis_url, 1) as (throttle,):
            await throttle.grant([limit], 1)

    asyncio.run(walk())
    with redis.Redis.from_url(redis_url) as client:
        left = client.pttl(f"throttle:limit:{limit.key}")
    assert 6_000 < int(left) <= 8_000


def test_a_flushed_broker_grants_no_second_window(broker: str) -> None:
    limit = fresh("relay", 100)

    async def walk() -> Log:
        async with clients(broker, 3) as throttles:
            spending = asyncio.create_task(spend_all(throttles, [limit], 5, 3.5, patience=0.02))
            with redis.Redis.from_url(broker) as client:
                for _ in range(3):
                    await asyncio.sleep(0.3)
                    client.flushall()
                    client.script_flush()
            return await spending

    log = asyncio.run(walk())
    assert most_in_a_window(log, 1.0) <= 100
    assert log[-1][0] > log[0][0] + 2, "it never opened again"


def test_a_new_campaign_does_not_wait_for_a_lost_log(broker: str) -> None:
    async def walk() -> int:
        async with clients(broker, 1) as (throttle,):
            return (await throttle.grant([fresh("campaign", 10, 3600)], 10)).granted

    assert asyncio.run(walk()) == 10


def test_a_silent_broker_makes_it_slow_but_never_open(broker: str) -> None:
    limit = fresh("relay", 90)

    async def walk() -> tuple[Log, float, float, int]:
        async with clients(broker, 3) as throttles:
            spending = asyncio.create_task(spend_all(throttles, [limit], 10, 7.5, patience=0.02))
            await asyncio.sleep(0.5)
            with stopped(broker):
                stopped_at = time.time()
                await asyncio.sleep(3.8)
                slowest = max([await seconds_of(lambda: throttles[0].grant([limit], 1)) for _ in range(5)])
                resumed_at = time.time()
            log = await spending
            in_the_silence = sum(count for at, count in log if stopped_at < at < resumed_at)
            await asyncio.sleep(1.1)
            return log, slowest, in_the_silence, (await throttles[0].grant([limit], 90)).granted

    log, slowest, in_the_silence, after = asyncio.run(walk())
    assert most_in_a_window(log, 1.0) <= 90, "neither within, nor across the change from shared to own and back"
    assert in_the_silence >= 90
    assert slowest < 0.2, "only the first call waits for the broker"
    assert after == 90, "the shared limiter is used again"


def test_who_comes_back_later_may_have_granted_its_share_until_then(redis_url: str) -> None:
    """Workers find the broker again one after the other; the last of them begins the wait anew for all."""
    limit, window = fresh("relay", 10), 1_000_000
    with redis.Redis.from_url(redis_url) as client:
        ask = client.register_script(GRANT)

        def come_back() -> tuple[int, int]:
            keys = ["throttle:epoch", f"throttle:limit:{limit.key}"]
            granted, wait, *_ = ask(keys=keys, args=[5, b"", limit.count, window, 1, 0])
            return granted, wait

        assert come_back() == (0, window + 1)
        assert come_back() == (0, window + 1)


def test_a_worker_that_starts_without_a_broker_takes_its_windows_as_full() -> None:
    limit = fresh("relay", 100)

    async def walk() -> Log:
        async with clients("redis://127.0.0.1:1/0", 2) as throttles:
            start = time.time()
            return [(at - start, count) for at, count in await spend_all(throttles, [limit], 10, 2.5)]

    log = asyncio.run(walk())
    assert log[0][0] >= 0.99
    assert most_in_a_window(log, 1.0) == 100


def test_without_a_broker_nobody_waits_for_the_end_of_a_long_window() -> None:
    async def walk() -> tuple[int, float]:
        async with clients("redis://127.0.0.1:1/0", 1) as (throttle,):
            grant = await throttle.grant([fresh("relay", 100, 3600)], 1)
            return grant.granted, grant.retry_after_seconds

    granted, wait = asyncio.run(walk())
    assert granted == 0
    assert 0 < wait <= 5


async def seconds_of(act: Callable[[], Awaitable[object]]) -> float:
    start = time.monotonic()
    await act()
    return time.monotonic() - start


class Ledger:
    """What lasts when the broker's memory does not."""

    def __init__(self, *, is_there: bool = True) -> None:
        self.is_there = is_there
        self.log: Log = []
        self.asked_count = 0
        self.told_of_loss = False

    async def recall(self, _limit: Limit, is_lost: bool) -> Log:
        self.asked_count += 1
        self.told_of_loss = is_lost
        await asyncio.sleep(0)
        if not self.is_there:
            raise OSError("Postgres is away")
        return list(self.log)


def test_a_flushed_broker_grants_no_second_hour(broker: str) -> None:
    hour, ledger = fresh("relay", 100, 3600), Ledger()

    async def walk() -> list[int]:
        async with clients(broker, 4, ledger.recall) as throttles:
            first = await throttles[0].grant([hour], 60)
            ledger.log.append((first.granted_at, first.granted))
            with redis.Redis.from_url(broker) as client:
                client.flushall()
                client.script_flush()
            after = await asyncio.gather(*(throttle.grant([hour], 25) for throttle in throttles))
            return [first.granted, sum(grant.granted for grant in after)]

    assert asyncio.run(walk()) == [60, 40]
    assert ledger.told_of_loss


def test_what_cannot_be_looked_up_is_not_granted_until_it_can(broker: str) -> None:
    minute, second, ledger = fresh("relay", 100, 60), fresh("relay", 100), Ledger(is_there=False)

    async def walk() -> list[int]:
        async with clients(broker, 1, ledger.recall) as (throttle,):
            refused = await throttle.grant([second, minute], 5)
            ledger.is_there = True
            granted = await throttle.grant([second, minute], 200)
            return [refused.granted, granted.granted]

    assert asyncio.run(walk()) == [0, 100], "and the short window was not charged for nothing"
    assert ledger.asked_count == 2
    assert not ledger.told_of_loss, "a new window is no loss"


def test_what_was_looked_up_before_another_loss_is_not_believed(broker: str) -> None:
    hour = fresh("relay", 100, 3600)
    log: Log = []

    async def walk() -> int:
        async def recall(_limit: Limit, _is_lost: bool) -> Log:
            seen = list(log)
            if not log:  # while the first look is under way: others grant 60, and the memory is lost once more
                log.append((time.time(), 60))
                with redis.Redis.from_url(broker) as client:
                    client.flushall()
                async with clients(broker, 1, nothing_known) as (other,):
                    await other.grant([fresh("other", 1)], 1)  # whose call begins the new memory
            return seen

        async with clients(broker, 1, recall) as (throttle,):
            first = await throttle.grant([hour], 100)
            return first.granted + (await throttle.grant([hour], 100)).granted

    assert asyncio.run(walk()) == 40


def test_no_broker_and_a_long_window_is_slow_and_never_open() -> None:
    limits = [fresh("relay", 10), fresh("relay", 1_000, 86_400)]

    async def walk() -> Log:
        async with clients("redis://127.0.0.1:1/0", 2) as throttles:
            return await spend_all(throttles, limits, 5, 1.6, patience=0.05)

    assert asyncio.run(walk()) == [], "who cannot know what went out today sends nothing until he does"


def test_f22_several_windows_at_once_hold_and_are_used(broker: str) -> None:
    limits = [fresh("a", 30), fresh("b", 100, 4), fresh("c", 3_000, 10), fresh("d", 90, 3)]

    async def walk() -> Log:
        async with clients(broker, 4) as throttles:
            return await spend_all(throttles, limits, 4, 12.0)

    log = asyncio.run(walk())
    for limit in limits:
        assert most_in_a_window(log, limit.seconds) <= limit.count
    assert most_in_a_window(log, 8.0) >= 0.95 * 200, "two windows of the tightest"
