"""When to try again: the backoff of a recipient, of a spared recipient and of a relay."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

JITTER = 0.2
SPARED_SHARE = 0.1


def next_attempt_at(
    *,
    now: datetime,
    burnt_count: int,
    first_attempt_at: datetime,
    deadline_at: datetime | None,
    delays: Sequence[float],
    limit_seconds: float,
    seed: bytes,
) -> datetime | None:
    """The time of the next attempt after `burnt_count` (≥ 1) that counted, or None: expired.

    The last delay repeats until `limit_seconds` after the first attempt or the mailing's deadline. Jitter is ±20 %,
    but only upwards for the first delay, which greylisting servers take as a minimum. The same seed (the delivery's)
    and count give the same answer.
    """
    delay = delays[min(max(burnt_count, 1), len(delays)) - 1]
    jitter = _jitter(seed, burnt_count)
    if burnt_count <= 1:
        jitter = abs(jitter)
    return _unless_expired(now + timedelta(seconds=delay * (1 + jitter)), first_attempt_at, limit_seconds, deadline_at)


def spared_retry_at(
    *,
    now: datetime,
    spared_in_a_row: int,
    first_attempt_at: datetime,
    deadline_at: datetime | None,
    delays: Sequence[float],
    limit_seconds: float,
    seed: bytes,
) -> datetime | None:
    """The time of the next attempt after `spared_in_a_row` (≥ 1) that did not count, or None: expired.

    A tenth of the first delay, doubling up to it, with up to 20 % more.
    """
    delay = _doubled(delays[0] * SPARED_SHARE, delays[0], spared_in_a_row)
    jitter = abs(_jitter(seed, -spared_in_a_row))
    return _unless_expired(now + timedelta(seconds=delay * (1 + jitter)), first_attempt_at, limit_seconds, deadline_at)


def relay_retry_at(now: datetime, failure_count: int, first: float, longest: float, seed: bytes) -> datetime:
    """When a relay that failed `failure_count` (≥ 1) times in a row is tried again: `first` seconds, doubling up to
    `longest`, ±20 %."""
    delay = _doubled(first, longest, failure_count)
    return now + timedelta(seconds=delay * (1 + _jitter(seed, failure_count)))


def _unless_expired(
    at: datetime, first_attempt_at: datetime, limit_seconds: float, deadline_at: datetime | None
) -> datetime | None:
    last = first_attempt_at + timedelta(seconds=limit_seconds)
    return at if at <= (min(last, deadline_at) if deadline_at else last) else None


def _doubled(first: float, longest: float, count: int) -> float:
    # Bounded, since 2.0 ** 1024 overflows and a relay can be away for long.
    return min(first * 2.0 ** min(max(count, 1) - 1, 64), longest)


def _jitter(seed: bytes, count: int) -> float:
    """Between -JITTER and +JITTER, spread evenly over seeds."""
    digest = hashlib.blake2b(b"%d:%b" % (count, seed), digest_size=8).digest()
    return JITTER * (int.from_bytes(digest) / 2**63 - 1)
