"""The sweep: every few seconds it finds by SQL what a crash, a lost message or a restart left behind, and mends it."""

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text

from email_campaign.campaigns.mailings import BUSY, Mailing
from email_campaign.db import SessionFactory
from email_campaign.delivery import leases, workers
from email_campaign.delivery.breaker import trip_if_refused
from email_campaign.delivery.deliveries import count_moves
from email_campaign.delivery.dispatch import finish_if_done
from email_campaign.delivery.unknown_policy import resend_by_policy
from email_campaign.settings import Settings

log = logging.getLogger(__name__)

SWEEP_LOCK = 0x6D63
CANCEL_PAGE = 20_000


@dataclass(frozen=True, slots=True)
class Swept:
    """What the door does next: mailings whose enrolment has come to a stop."""

    enrolling: list[int]


def sweep(factory: SessionFactory, settings: Settings, now: datetime, *, queue_is_empty: bool) -> Swept:
    """One pass over everything that may be stuck. Safe to repeat; two at once do no harm.

    `queue_is_empty` says that the broker holds no send task: what was published a sweep ago and not taken is lost.
    """
    _look_for_the_dead(factory, settings)
    lost_after = settings.sweep_seconds if queue_is_empty else settings.window_deadline_seconds
    with factory.begin() as session:
        session.execute(_UNPUBLISH_LOST, {"before": now - timedelta(seconds=lost_after)})
        session.execute(_CLOSE_WINDOWS)
        busy = list(session.scalars(select(Mailing.id).where(text(BUSY)).order_by(Mailing.id)))
        cancelled = list(session.scalars(_CANCELLED))
        stopped = {"before": now - timedelta(seconds=settings.sweep_seconds)}
        enrolling = list(session.scalars(_ENROLMENT_STOPPED, stopped))
    for mailing_id in cancelled:
        _cancel_rows(factory, mailing_id)
    for mailing_id in busy:
        with factory.begin() as session:
            resend_by_policy(session, mailing_id, settings.retry_delays_seconds[0], now)
            finish_if_done(session, mailing_id, now)
            session.execute(_MEASURE, {"mailing": mailing_id, "now": now})
        with factory.begin() as session:
            trip_if_refused(session, mailing_id)
    return Swept(enrolling)


def _look_for_the_dead(factory: SessionFactory, settings: Settings) -> None:
    with factory.begin() as session:
        session.execute(select(func.pg_advisory_xact_lock(SWEEP_LOCK)))
        for worker_id in workers.look(session, settings.worker_dead_looks):
            looks, ids = settings.worker_dead_looks, {"worker": worker_id}
            log.warning("worker %d is dead: no beat in %d looks", worker_id, looks, extra=ids)
        held_by_the_dead = workers.leases_of_the_dead(session)
    for lost in held_by_the_dead:
        why = f"Worker {lost.worker_id} ended while the body was going out."
        with factory.begin() as session:
            unknown = leases.take_back(session, lost, why=why)
        if unknown:
            ids = {"mailing": lost.mailing_id, "slice": lost.slice_id, "worker": lost.worker_id}
            log.warning("mailing %d: %d copies are unknown. %s", lost.mailing_id, unknown, why, extra=ids)


def _cancel_rows(factory: SessionFactory, mailing_id: int) -> None:
    """Cancel, page by page, whatever of a cancelled mailing has not gone out.

    No INTENT can come in between, since it reads the mailing's state; what is in flight ends by itself.
    """
    with factory() as session:
        end = session.scalar(select(Mailing.next_position).where(Mailing.id == mailing_id)) or 0
    for first in range(1, end, CANCEL_PAGE):
        with factory.begin() as session:
            page = {"mailing": mailing_id, "first": first, "last": first + CANCEL_PAGE - 1}
            states = Counter(session.scalars(_CANCEL_PAGE_OF_ROWS, page))
            if states:
                left = {state: -count for state, count in states.items()}
                count_moves(session, mailing_id, {**left, "cancelled": states.total()})
    with factory.begin() as session:
        leases.close_empty(session, mailing_id)
        session.execute(_CANCEL_STRETCHES, {"mailing": mailing_id})


_UNPUBLISH_LOST = text("""
UPDATE slices SET published_at = NULL, window_id = NULL
WHERE closed_at IS NULL AND worker_id IS NULL AND published_at < :before
""")

_CLOSE_WINDOWS = text("""
UPDATE windows w SET closed_at = now()
WHERE closed_at IS NULL AND NOT EXISTS (SELECT FROM slices s WHERE s.window_id = w.id AND s.closed_at IS NULL)
""")

_CANCELLED = text("""
SELECT id FROM mailings WHERE state = 'cancelled' AND settled_at IS NULL AND launched_at IS NOT NULL ORDER BY id
""")

_ENROLMENT_STOPPED = text("""
SELECT id FROM mailings
WHERE launched_at IS NOT NULL AND enrolled_at IS NULL AND settled_at IS NULL
    AND coalesce(enrolled_to_at, launched_at) < :before
ORDER BY id
""")

_CANCEL_PAGE_OF_ROWS = text("""
WITH page AS (
    SELECT mailing_id, position, state FROM deliveries
    WHERE mailing_id = :mailing AND position BETWEEN :first AND :last
        AND (state IN ('pending', 'deferred') OR next_attempt_at IS NOT NULL)
    FOR UPDATE
), moved AS (
    UPDATE deliveries d
    SET state = CASE WHEN d.state IN ('pending', 'deferred') THEN 'cancelled' ELSE d.state END,
        reason = CASE WHEN d.state IN ('pending', 'deferred') THEN 'campaign_cancelled' ELSE d.reason END,
        next_attempt_at = NULL, changed_at = now()
    FROM page WHERE d.mailing_id = page.mailing_id AND d.position = page.position
)
SELECT state FROM page WHERE state IN ('pending', 'deferred')
""")

_CANCEL_STRETCHES = text("""
UPDATE stretches s SET frontier = s.last_position + 1
WHERE s.mailing_id = :mailing AND s.frontier <= s.last_position AND NOT EXISTS (
    SELECT FROM deliveries d
    WHERE d.mailing_id = :mailing AND d.position BETWEEN s.frontier AND s.last_position AND d.state = 'pending')
""")

# Measured between two sweeps from the counters: what came to an end, per second.
_MEASURE = text("""
WITH done AS (
    SELECT coalesce(sum(count), 0) AS count FROM counters
    WHERE mailing_id = :mailing AND state IN ('accepted', 'rejected', 'unknown')
)
UPDATE mailings m
SET rate_per_second = CASE WHEN m.rate_at < :now THEN
        greatest(0, done.count - m.rate_count) / extract(epoch FROM CAST(:now AS timestamptz) - m.rate_at) END,
    rate_count = done.count, rate_at = :now
FROM done WHERE m.id = :mailing AND m.state = 'sending'
""")
