"""Backoff: repeatable, spread, bounded."""

from datetime import UTC, datetime, timedelta

import pytest

from email_campaign.delivery.retry import next_attempt_at, relay_retry_at, spared_retry_at

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DELAYS = (300.0, 900.0, 3600.0, 10800.0)
SEEDS = [b"delivery %d" % number for number in range(500)]


def after(
    count: int, *, seed: bytes = b"seed", limit: float = 72 * 3600, age: float = 0, deadline: datetime | None = None
) -> float | None:
    found = next_attempt_at(
        now=NOW,
        burnt_count=count,
        first_attempt_at=NOW - timedelta(seconds=age),
        deadline_at=deadline,
        delays=DELAYS,
        limit_seconds=limit,
        seed=seed,
    )
    return (found - NOW).total_seconds() if found else None


def spared_after(count: int, *, seed: bytes = b"seed", limit: float = 72 * 3600) -> float | None:
    found = spared_retry_at(
        now=NOW,
        spared_in_a_row=count,
        first_attempt_at=NOW,
        deadline_at=None,
        delays=DELAYS,
        limit_seconds=limit,
        seed=seed,
    )
    return (found - NOW).total_seconds() if found else None


@pytest.mark.parametrize(("count", "delay"), [(2, 900), (3, 3600), (4, 10800), (5, 10800), (9, 10800)])
def test_delays_grow_and_the_last_one_repeats(count: int, delay: float) -> None:
    waits = [wait for seed in SEEDS if (wait := after(count, seed=seed))]
    assert min(waits) >= delay * 0.8
    assert max(waits) <= delay * 1.2
    assert max(waits) - min(waits) > delay * 0.35


def test_the_first_retry_never_comes_before_its_delay() -> None:
    waits = [wait for seed in SEEDS if (wait := after(1, seed=seed))]
    assert min(waits) >= 300
    assert 350 < max(waits) <= 360


def test_the_same_inputs_give_the_same_answer() -> None:
    assert after(2) == after(2)
    assert after(2) != after(2, seed=b"another")


def test_a_retry_beyond_the_limit_is_expired() -> None:
    assert after(4, age=72 * 3600 - 5_000) is None
    assert after(1, age=72 * 3600 - 5_000) is not None


def test_a_retry_beyond_the_deadline_is_expired() -> None:
    assert after(1, deadline=NOW + timedelta(seconds=299)) is None
    assert after(1, deadline=NOW + timedelta(seconds=361)) is not None


def test_a_spared_retry_is_short_and_doubles_to_the_first_delay() -> None:
    for count, delay in [(1, 30), (2, 60), (4, 240), (5, 300), (5_000, 300)]:
        waits = [wait for seed in SEEDS if (wait := spared_after(count, seed=seed))]
        assert delay <= min(waits)
        assert max(waits) <= delay * 1.2


def test_a_spared_retry_expires_too() -> None:
    assert spared_after(1, limit=20) is None


def test_a_dead_relay_is_asked_ever_more_seldom() -> None:
    for count, delay in [(1, 5), (2, 10), (7, 300), (5_000, 300)]:
        waits = [(relay_retry_at(NOW, count, 5, 300, seed) - NOW).total_seconds() for seed in SEEDS]
        assert delay * 0.8 <= min(waits)
        assert max(waits) <= delay * 1.2
