"""Slowing: a relay that says that it is too much gets less from all workers, and slowly more again."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from email_campaign.campaigns.limits import steady_rate
from email_campaign.delivery.relays import Relay
from email_campaign.delivery.throttle import Limit

CUT = 0.5
"""One cut halves the rate; where most is turned away, it takes it to what the relay still took, if that is less."""
FLOOR_PER_SECOND = 1.0
MEASURED_SECONDS = 10.0
TELLING_SECONDS = 2.0
TELLING_COMPLAINTS = 5
"""Of less time and fewer complaints than that, what the relay took is no measure of what it takes."""
RECOVERY_STEPS = 20
"""Between two steps the limit stands still, so that grants in hand are not thrown away all the time."""
PASSED_ELSEWHERE = 20
"""So many mails that other domains took meanwhile show that one domain is meant, and not us as a whole."""
FIRST_GUESS_PER_SECOND = 200.0


@dataclass(frozen=True, slots=True)
class Complaint:
    """A reply or a drop that says that it is too much. `domain` is the recipient's where one was named before it."""

    words: str
    domain: str | None = None


def note_complaint(
    session: Session, relay_id: int, complaint: Complaint, waits: tuple[float, float], now: datetime
) -> bool:
    """Cut the rate of the relay, at most once in `waits[0]` seconds; it is back after `waits[1]`. Whether it was cut.

    Where no limit is set, the cut is from what was measured. What only one recipient domain says, while others take
    their mail, does not slow the relay: the backoff of its copies does that.
    """
    step, recovery = waits
    relay = session.scalars(select(Relay).where(Relay.id == relay_id).with_for_update()).one()
    if relay.slowed_at is not None and now < relay.slowed_at + timedelta(seconds=step):
        return False
    since = now - timedelta(seconds=MEASURED_SECONDS)
    recent = session.execute(
        _RECENT,
        {
            "relay": relay_id,
            "since": max(since, relay.slowed_at or since),
            "domain": complaint.domain or "",
            "sample": 500,
            "guess": FIRST_GUESS_PER_SECOND,
        },
    ).one()
    if complaint.domain and not recent.complained_elsewhere and recent.passed_elsewhere >= PASSED_ELSEWHERE:
        return False
    span = (now - recent.first_at).total_seconds() if recent.first_at else 0.0
    present = rate_now(relay, now) or _full_rate(relay, recent.believed, recent.answered / max(span, 1.0))
    wanted = present * CUT
    if span >= TELLING_SECONDS and recent.complained > max(recent.passed, TELLING_COMPLAINTS):
        wanted = min(wanted, recent.passed / span)
    if rate_now(relay, now) is None:
        relay.slowed_from = max(present, FLOOR_PER_SECOND)
    relay.slowed_rate = max(wanted, FLOOR_PER_SECOND)
    relay.slowed_at, relay.slowed_until = now, now + timedelta(seconds=recovery)
    relay.slowed_reason = complaint.words[:500]
    return True


def rate_now(relay: Relay, now: datetime) -> float | None:
    """Mails a second that a slowed relay gets now, rising evenly in steps to what it had; None: it is not slowed."""
    if relay.slowed_at is None or relay.slowed_until is None or now >= relay.slowed_until:
        return None
    low, high = relay.slowed_rate or FLOOR_PER_SECOND, relay.slowed_from or FLOOR_PER_SECOND
    share = (now - relay.slowed_at) / (relay.slowed_until - relay.slowed_at)
    return low + max(high - low, 0.0) * int(max(share, 0.0) * RECOVERY_STEPS) / RECOVERY_STEPS


def limit_now(relay: Relay, now: datetime) -> Limit | None:
    """The same as a limit for the workers."""
    rate = rate_now(relay, now)
    if rate is None:
        return None
    seconds = 1 if rate >= 20 else 10
    return Limit(f"relay:{relay.id}:slowed", max(1, int(rate * seconds)), seconds)


def forget(session: Session, relay_id: int) -> None:
    """Go at full speed again, at once. Safe to repeat."""
    relay = session.scalars(select(Relay).where(Relay.id == relay_id).with_for_update()).one()
    relay.slowed_rate = relay.slowed_from = relay.slowed_at = relay.slowed_until = None
    relay.slowed_reason = ""


def _full_rate(relay: Relay, believed: float | None, measured: float) -> float:
    """What was handed over before the first cut: what was measured, or else what the workers are thought to do."""
    full = max(measured, believed or 0.0) or FIRST_GUESS_PER_SECOND
    allowed = steady_rate(relay.limits)
    return full if allowed is None else min(full, allowed)


# `passed_elsewhere` and `complained_elsewhere`: mails to other domains among the latest. The index on the time finds
# the last seconds however large the log is.
_RECENT = text("""
WITH recent AS MATERIALIZED (
    SELECT mailing_id, position, finished_at, verdict = 'accepted' AS passed,
        verdict = 'deferred' AND (spared OR code = 421 OR enhanced_code = '4.7.28') AS complained
    FROM attempts
    WHERE finished_at > :since AND relay_id = :relay AND phase IN ('mail', 'rcpt', 'data', 'body')
), elsewhere AS (
    SELECT s.passed, s.complained FROM (
        (SELECT * FROM recent WHERE passed ORDER BY finished_at DESC LIMIT :sample)
        UNION ALL (SELECT * FROM recent WHERE complained ORDER BY finished_at DESC LIMIT :sample)
    ) s
    JOIN deliveries d USING (mailing_id, position) JOIN contacts c ON c.id = d.contact_id
    WHERE split_part(c.address, '@', 2) <> :domain
)
SELECT count(*) AS answered, count(*) FILTER (WHERE passed) AS passed, min(finished_at) AS first_at,
    count(*) FILTER (WHERE complained) AS complained,
    (SELECT count(*) FROM elsewhere WHERE passed) AS passed_elsewhere,
    (SELECT count(*) FROM elsewhere WHERE complained) AS complained_elsewhere,
    (SELECT sum(coalesce(rate_per_second, :guess)) FROM workers WHERE ended_at IS NULL) AS believed
FROM recent
""")
