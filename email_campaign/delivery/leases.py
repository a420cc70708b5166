"""Leases: a worker takes a slice with a token, reads its rows, and lets go of it or has it taken back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import TextClause, func, select, text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import stop_bodies
from email_campaign.delivery.deliveries import count_moves
from email_campaign.delivery.results import Claim
from email_campaign.delivery.workers import Leased

MOST_BYTES = 8 * 1024 * 1024
"""Attributes of contacts that one lease holds in memory, as text; one contact may stand over it."""


class Copy(NamedTuple):
    """A pending row with what its message is composed from."""

    claim: Claim
    recipient: dict[str, Any]
    burnt_count: int
    spared_count: int
    first_attempt_at: datetime | None

    @property
    def address(self) -> str:
        """The address in RCPT TO."""
        return str(self.recipient["address"])


@dataclass(frozen=True, slots=True)
class Span:
    """Which rows a slice covers. It is told to Postgres as values: through a join it may read the whole ledger."""

    slice_id: int
    mailing_id: int
    first: int | None
    last: int | None
    positions: Sequence[int] | None

    @property
    def values(self) -> dict[str, Any]:
        """For the statement that `pick` chooses."""
        span = {"first": self.first, "last": self.last} if self.positions is None else {"positions": self.positions}
        return {"slice": self.slice_id, "mailing": self.mailing_id, **span}

    def pick(self, statements: tuple[TextClause, TextClause]) -> TextClause:
        """Of two statements the one for a range, or for a list."""
        return statements[self.positions is not None]


@dataclass(frozen=True, slots=True)
class Lease:
    """A slice that this worker holds, and its pending rows."""

    span: Span
    token: int
    copies: Sequence[Copy]

    @property
    def slice_id(self) -> int:
        """The slice."""
        return self.span.slice_id

    @property
    def mailing_id(self) -> int:
        """The mailing that it is of."""
        return self.span.mailing_id


def take(session: Session, slice_id: int, worker_id: int, token: int) -> Lease | None:
    """Lease the slice and read its rows; None when it is not to be had (taken, closed, not due, mailing not sending).

    Rows whose contact was erased since enrolment are skipped here. Of contacts with very much to them only as many are
    read as memory allows; the slice goes back with the others. Safe to repeat.
    """
    row = session.execute(_TAKE, {"slice": slice_id, "worker": worker_id, "token": token}).one_or_none()
    if row is None:
        # Its message is spent: when the mailing goes on, the slice must be published anew.
        session.execute(_UNPUBLISH_WHILE_HELD, {"slice": slice_id})
        return None
    span = Span(slice_id, *row)
    rows = session.execute(span.pick(_ROWS), {**span.values, "most": MOST_BYTES}).all()
    erased = [r.position for r in rows if r.address is None]
    if erased:
        skipped = len(session.execute(_SKIP_ERASED, {"mailing": span.mailing_id, "positions": erased}).all())
        count_moves(session, span.mailing_id, {"pending": -skipped, "skipped": skipped})
    copies = [
        Copy(
            Claim(span.mailing_id, position, slice_id, token),
            {**attributes, "name": name, "address": address},
            burnt_count,
            spared_count,
            first_attempt_at,
        )
        for position, burnt_count, spared_count, first_attempt_at, address, name, attributes in rows
        if address is not None
    ]
    return Lease(span, token, copies)


def let_go(session: Session, lease: Lease, *, due_at: datetime | None = None, hold_reason: str | None = None) -> bool:
    """Close the slice when none of its rows is pending or sending, else put it back, not before `due_at`.

    Returns whether it is closed. A lease that was taken back meanwhile is left alone. Safe to repeat.
    """
    values = {**lease.span.values, "token": lease.token, "due": due_at, "reason": hold_reason}
    return session.execute(lease.span.pick(_LET_GO), values).scalar() is True


def leave(session: Session, slice_id: int) -> None:
    """A process that is stopping was asked to take this slice: let it be published again at once. Safe to repeat."""
    session.execute(_UNPUBLISH, {"slice": slice_id})


def take_back(session: Session, lost: Leased, *, why: str) -> int:
    """Take a leased slice from a worker that is gone: sending rows become unknown, pending rows are dealt again.

    Like a pause: no INTENT can be under way. Returns how many became unknown. A slice that has another lease by now is
    left alone. Safe to repeat.
    """
    stop_bodies(session, lost.mailing_id)
    row = session.execute(_TAKE_BACK, {"slice": lost.slice_id, "token": lost.token}).one_or_none()
    if row is None:
        return 0
    span = Span(lost.slice_id, *row)
    unknown = len(session.execute(span.pick(_MAKE_UNKNOWN), {**span.values, "why": why}).all())
    if unknown:
        count_moves(session, lost.mailing_id, {"sending": -unknown, "unknown": unknown})
    session.execute(span.pick(_CLOSE_IF_DONE), span.values)
    return unknown


def close_empty(session: Session, mailing_id: int) -> None:
    """Close the mailing's free slices of which no row is pending or sending. Safe to repeat."""
    session.execute(select(func.set_config("enable_seqscan", "off", True)))
    session.execute(_CLOSE_EMPTY, {"mailing": mailing_id})


_TAKE = text("""
UPDATE slices s SET worker_id = :worker, token = :token, leased_at = now(), due_at = NULL, hold_reason = NULL
FROM mailings m
WHERE s.id = :slice AND s.closed_at IS NULL AND s.worker_id IS NULL AND (s.due_at IS NULL OR s.due_at <= now())
    AND m.id = s.mailing_id AND m.state = 'sending'
RETURNING s.mailing_id, s.first_position, s.last_position, s.positions
""")

_UNPUBLISH_WHILE_HELD = text("""
UPDATE slices s SET published_at = NULL, window_id = NULL
FROM mailings m
WHERE s.id = :slice AND s.closed_at IS NULL AND s.worker_id IS NULL AND m.id = s.mailing_id AND m.state <> 'sending'
""")

_UNPUBLISH = text("""
UPDATE slices SET published_at = NULL, window_id = NULL WHERE id = :slice AND closed_at IS NULL AND worker_id IS NULL
""")

_IN_RANGE = "d.mailing_id = :mailing AND d.position BETWEEN :first AND :last AND d.slice_id IS NULL"
_IN_LIST = "d.mailing_id = :mailing AND d.position = ANY (:positions) AND d.slice_id = :slice"


def _both(statement: str) -> tuple[TextClause, TextClause]:
    return text(statement.replace("IN_SPAN", _IN_RANGE)), text(statement.replace("IN_SPAN", _IN_LIST))


# How long attributes are as text is asked only where they are long: it unpacks them.
_ROWS = _both("""
SELECT position, burnt_count, spared_count, first_attempt_at, address, name, attributes
FROM (
    SELECT d.position, d.burnt_count, d.spared_count, d.first_attempt_at,
        CASE WHEN d.contact_id IS NULL THEN m.recipient_address ELSE c.address END AS address,
        CASE WHEN d.contact_id IS NULL THEN coalesce(m.recipient_variables ->> 'name', '') ELSE c.name END AS name,
        CASE WHEN d.contact_id IS NULL THEN m.recipient_variables ELSE c.attributes END AS attributes,
        sum(CASE WHEN pg_column_size(c.attributes) > 1000 THEN octet_length(CAST(c.attributes AS text)) ELSE 1000 END)
            OVER (ORDER BY d.position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
    FROM deliveries d JOIN mailings m ON m.id = d.mailing_id LEFT JOIN contacts c ON c.id = d.contact_id
    WHERE IN_SPAN AND d.state = 'pending'
) pending
WHERE coalesce(bytes_before, 0) < :most
ORDER BY position
""")

_SKIP_ERASED = text("""
UPDATE deliveries SET state = 'skipped', reason = 'erased', changed_at = now()
WHERE mailing_id = :mailing AND position = ANY (:positions) AND state = 'pending'
RETURNING position
""")

_IS_OPEN = "SELECT EXISTS (SELECT FROM deliveries d WHERE IN_SPAN AND d.state IN ('pending', 'sending')) AS is_open"

_LET_GO = _both(f"""
WITH rows AS MATERIALIZED ({_IS_OPEN})
UPDATE slices s SET worker_id = NULL,
    closed_at = CASE WHEN NOT is_open THEN now() END,
    token = CASE WHEN NOT is_open THEN token END,
    leased_at = CASE WHEN NOT is_open THEN leased_at END,
    published_at = CASE WHEN NOT is_open THEN published_at END,
    window_id = CASE WHEN NOT is_open THEN window_id END,
    due_at = CASE WHEN is_open THEN CAST(:due AS timestamptz) END,
    hold_reason = CASE WHEN is_open THEN :reason END
FROM rows WHERE s.id = :slice AND s.token = :token
RETURNING NOT is_open
""")  # noqa: S608 – constants of this file only

_TAKE_BACK = text("""
UPDATE slices
SET worker_id = NULL, token = NULL, leased_at = NULL, published_at = NULL, window_id = NULL, due_at = NULL
WHERE id = :slice AND token = :token AND worker_id IS NOT NULL AND closed_at IS NULL
RETURNING mailing_id, first_position, last_position, positions
""")

_MAKE_UNKNOWN = _both("""
WITH gone AS (
    UPDATE deliveries d
    SET state = 'unknown', reason = 'worker_gone', changed_at = now(), attempt_count = d.attempt_count + 1,
        burnt_count = d.burnt_count + 1, spared_count = 0
    WHERE IN_SPAN AND d.state = 'sending'
    RETURNING d.mailing_id, d.position, d.attempt_count
)
INSERT INTO attempts (mailing_id, position, number, worker_id, relay_id, started_at, finished_at, spared, late, verdict,
    phase, reply)
SELECT gone.mailing_id, position, attempt_count, 0, m.relay_id, now(), now(), false, false, 'unknown', 'sweep', :why
FROM gone JOIN mailings m ON m.id = gone.mailing_id
RETURNING position
""")

_CLOSE_IF_DONE = _both(f"""
WITH rows AS MATERIALIZED ({_IS_OPEN})
UPDATE slices s SET closed_at = now() FROM rows WHERE s.id = :slice AND s.closed_at IS NULL AND NOT is_open
""")  # noqa: S608 – constants of this file only

# Row by row in the index: as a join it would read every row of the mailing.
_CLOSE_EMPTY = text("""
UPDATE slices s SET closed_at = now()
WHERE s.mailing_id = :mailing AND s.closed_at IS NULL AND s.worker_id IS NULL AND CASE WHEN s.positions IS NULL THEN (
    SELECT true FROM deliveries d
    WHERE d.mailing_id = s.mailing_id AND d.position BETWEEN s.first_position AND s.last_position
        AND d.slice_id IS NULL AND d.state IN ('pending', 'sending') LIMIT 1
) ELSE (
    SELECT true FROM deliveries d
    WHERE d.mailing_id = s.mailing_id AND d.position = ANY (s.positions)
        AND d.slice_id = s.id AND d.state IN ('pending', 'sending') LIMIT 1
) END IS NULL
""")
