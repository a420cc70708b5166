"""Leases: a worker takes a slice with a token, reads its rows, and lets go of it or has it taken back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import stop_bodies
from email_campaign.delivery.deliveries import count_moves
from email_campaign.delivery.results import Claim
from email_campaign.delivery.workers import Leased


@dataclass(frozen=True, slots=True)
class Copy:
    """A pending row with what its message is composed from."""

    claim: Claim
    recipient: dict[str, Any]
    attempt_count: int
    spared_count: int
    first_attempt_at: datetime | None

    @property
    def address(self) -> str:
        """The address in RCPT TO."""
        return str(self.recipient["address"])


@dataclass(frozen=True, slots=True)
class Lease:
    """A slice that this worker holds, and its pending rows."""

    slice_id: int
    mailing_id: int
    token: int
    copies: Sequence[Copy]


def take(session: Session, slice_id: int, worker_id: int, token: int) -> Lease | None:
    """Lease the slice and read its rows; None when it is not to be had (taken, closed, not due, mailing not sending).

    Rows whose contact was erased since enrolment are skipped here. Safe to repeat.
    """
    row = session.execute(_TAKE, {"slice": slice_id, "worker": worker_id, "token": token}).one_or_none()
    if row is None:
        # Its message is spent: when the mailing goes on, the slice must be published anew.
        session.execute(_UNPUBLISH_WHILE_HELD, {"slice": slice_id})
        return None
    rows = session.execute(_ROWS_OF_RANGE if row.positions is None else _ROWS_OF_LIST, {"slice": slice_id}).all()
    erased = [r.position for r in rows if r.address is None]
    if erased:
        skipped = len(session.execute(_SKIP_ERASED, {"mailing": row.mailing_id, "positions": erased}).all())
        count_moves(session, row.mailing_id, {"pending": -skipped, "skipped": skipped})
    copies = [
        Copy(
            claim=Claim(row.mailing_id, r.position, slice_id, token),
            recipient={**r.attributes, "name": r.name, "address": r.address},
            attempt_count=r.attempt_count,
            spared_count=r.spared_count,
            first_attempt_at=r.first_attempt_at,
        )
        for r in rows
        if r.address is not None
    ]
    return Lease(slice_id, row.mailing_id, token, copies)


def let_go(session: Session, lease: Lease, *, due_at: datetime | None = None, hold_reason: str | None = None) -> bool:
    """Close the slice when none of its rows is pending or sending, else put it back, not before `due_at`.

    Returns whether it is closed. A lease that was taken back meanwhile is left alone. Safe to repeat.
    """
    values = {"slice": lease.slice_id, "token": lease.token, "due": due_at, "reason": hold_reason}
    return session.execute(_LET_GO, values).scalar() is not None


def leave(session: Session, slice_id: int) -> None:
    """A process that is stopping was asked to take this slice: let it be published again at once. Safe to repeat."""
    session.execute(_UNPUBLISH, {"slice": slice_id})


def take_back(session: Session, lost: Leased, *, why: str) -> int:
    """Take a leased slice from a worker that is gone: sending rows become unknown, pending rows are dealt again.

    Like a pause: no INTENT can be under way. Returns how many became unknown. A slice that has another lease by now is
    left alone. Safe to repeat.
    """
    stop_bodies(session, lost.mailing_id)
    values = {"slice": lost.slice_id, "token": lost.token, "why": why}
    if session.execute(_TAKE_BACK, values).scalar() is None:
        return 0
    unknown = len(session.execute(_MAKE_UNKNOWN, values).all())
    if unknown:
        count_moves(session, lost.mailing_id, {"sending": -unknown, "unknown": unknown})
    session.execute(_CLOSE_IF_DONE, values)
    return unknown


def close_empty(session: Session, mailing_id: int) -> None:
    """Close the mailing's free slices of which no row is pending or sending. Safe to repeat."""
    session.execute(_CLOSE_EMPTY, {"mailing": mailing_id})


_TAKE = text("""
UPDATE slices s SET worker_id = :worker, token = :token, leased_at = now(), due_at = NULL, hold_reason = NULL
FROM mailings m
WHERE s.id = :slice AND s.closed_at IS NULL AND s.worker_id IS NULL AND (s.due_at IS NULL OR s.due_at <= now())
    AND m.id = s.mailing_id AND m.state = 'sending'
RETURNING s.mailing_id, s.positions
""")

_UNPUBLISH_WHILE_HELD = text("""
UPDATE slices s SET published_at = NULL, window_id = NULL
FROM mailings m
WHERE s.id = :slice AND s.closed_at IS NULL AND s.worker_id IS NULL AND m.id = s.mailing_id AND m.state <> 'sending'
""")

_UNPUBLISH = text("""
UPDATE slices SET published_at = NULL, window_id = NULL WHERE id = :slice AND closed_at IS NULL AND worker_id IS NULL
""")

_RECIPIENT = """
    SELECT d.position, d.attempt_count, d.spared_count, d.first_attempt_at,
        CASE WHEN d.contact_id IS NULL THEN m.recipient_address ELSE c.address END AS address,
        CASE WHEN d.contact_id IS NULL THEN coalesce(m.recipient_variables ->> 'name', '') ELSE c.name END AS name,
        CASE WHEN d.contact_id IS NULL THEN m.recipient_variables ELSE c.attributes END AS attributes
    FROM slices s
    JOIN mailings m ON m.id = s.mailing_id
"""

_ROWS_OF_RANGE = text(f"""
{_RECIPIENT}
    JOIN deliveries d ON d.mailing_id = s.mailing_id AND d.position BETWEEN s.first_position AND s.last_position
    LEFT JOIN contacts c ON c.id = d.contact_id
    WHERE s.id = :slice AND d.state = 'pending' AND d.slice_id IS NULL
    ORDER BY d.position
""")

_ROWS_OF_LIST = text(f"""
{_RECIPIENT}
    JOIN deliveries d ON d.mailing_id = s.mailing_id AND d.position = ANY (s.positions)
    LEFT JOIN contacts c ON c.id = d.contact_id
    WHERE s.id = :slice AND d.state = 'pending' AND d.slice_id = s.id
    ORDER BY d.position
""")

_SKIP_ERASED = text("""
UPDATE deliveries SET state = 'skipped', reason = 'erased', changed_at = now()
WHERE mailing_id = :mailing AND position = ANY (:positions) AND state = 'pending'
RETURNING position
""")

_OPEN_ROW = """
    SELECT FROM deliveries d
    WHERE d.mailing_id = s.mailing_id AND d.state IN ('pending', 'sending') AND (
        s.positions IS NULL AND d.slice_id IS NULL AND d.position BETWEEN s.first_position AND s.last_position
        OR s.positions IS NOT NULL AND d.slice_id = s.id AND d.position = ANY (s.positions))
"""

_LET_GO = text(f"""
WITH closed AS (
    UPDATE slices s SET closed_at = now(), worker_id = NULL
    WHERE s.id = :slice AND s.token = :token AND NOT EXISTS ({_OPEN_ROW})
    RETURNING s.id
), put_back AS (
    UPDATE slices s
    SET worker_id = NULL, token = NULL, leased_at = NULL, published_at = NULL, window_id = NULL,
        due_at = CAST(:due AS timestamptz), hold_reason = :reason
    WHERE s.id = :slice AND s.token = :token AND EXISTS ({_OPEN_ROW})
    RETURNING s.id
)
SELECT id FROM closed
""")  # noqa: S608 – constants of this file only

_TAKE_BACK = text("""
UPDATE slices
SET worker_id = NULL, token = NULL, leased_at = NULL, published_at = NULL, window_id = NULL, due_at = NULL
WHERE id = :slice AND token = :token AND worker_id IS NOT NULL AND closed_at IS NULL
RETURNING id
""")

_MAKE_UNKNOWN = text("""
WITH gone AS (
    UPDATE deliveries d
    SET state = 'unknown', reason = 'worker_gone', changed_at = now(), attempt_count = d.attempt_count + 1
    FROM slices s JOIN mailings m ON m.id = s.mailing_id
    WHERE s.id = :slice AND d.mailing_id = s.mailing_id AND d.state = 'sending' AND (
        s.positions IS NULL AND d.slice_id IS NULL AND d.position BETWEEN s.first_position AND s.last_position
        OR s.positions IS NOT NULL AND d.slice_id = s.id AND d.position = ANY (s.positions))
    RETURNING d.mailing_id, d.position, d.attempt_count, m.relay_id
)
INSERT INTO attempts (mailing_id, position, number, worker_id, relay_id, started_at, finished_at, spared, late, verdict,
    phase, reply)
SELECT mailing_id, position, attempt_count, 0, relay_id, now(), now(), false, false, 'unknown', 'sweep', :why FROM gone
RETURNING position
""")

_CLOSE_IF_DONE = text(f"""
UPDATE slices s SET closed_at = now() WHERE s.id = :slice AND s.closed_at IS NULL AND NOT EXISTS ({_OPEN_ROW})
""")  # noqa: S608 – constants of this file only

_CLOSE_EMPTY = text(f"""
UPDATE slices s SET closed_at = now()
WHERE s.mailing_id = :mailing AND s.closed_at IS NULL AND s.worker_id IS NULL AND NOT EXISTS ({_OPEN_ROW})
""")  # noqa: S608 – constants of this file only
