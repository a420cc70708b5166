"""Slicing: the next rows of a mailing become slices of a window – those put back, those due again, then fresh ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from email_campaign.delivery.deliveries import count_moves


@dataclass(frozen=True, slots=True)
class Share:
    """How many rows a mailing may have published now, and how many of them one task carries."""

    rows: int
    rows_per_slice: int


def deal(session: Session, mailing_id: int, window_id: int, share: Share) -> list[Row[tuple[int, int]]]:
    """Slices (id, row_count) of this mailing that are published with this window, at most about `share.rows` rows.

    Whoever was put back comes first, then who is due to be tried again, then who was not tried yet.
    """
    values = {"mailing": mailing_id, "window": window_id, "rows": share.rows, "size": share.rows_per_slice}
    dealt = list(session.execute(_PUT_BACK, values).all())
    values["rows"] = share.rows - sum(s.row_count for s in dealt)
    if values["rows"] > 0:
        dealt += _deal_due(session, values)
        values["rows"] = share.rows - sum(s.row_count for s in dealt)
    while values["rows"] > 0 and (cut := session.execute(_CUT, values).all()):
        dealt += cut
        values["rows"] = share.rows - sum(s.row_count for s in dealt)
    return dealt


def _deal_due(session: Session, values: dict[str, int]) -> Sequence[Row[tuple[int, int]]]:
    """Rows that are due again become pending, and the slice that carries them is written in the same commit."""
    due = session.execute(_DUE, values).all()
    if not due:
        return []
    changes = {"pending": len(due)}
    for row in due:
        changes[row.state] = changes.get(row.state, 0) - 1
    count_moves(session, values["mailing"], changes)
    return session.execute(_SLICES_OF_DUE, {**values, "positions": [row.position for row in due]}).all()


_PUT_BACK = text("""
UPDATE slices SET window_id = :window, published_at = now()
WHERE id IN (
    SELECT id FROM (
        SELECT id, sum(row_count) OVER (ORDER BY id) - row_count AS before FROM slices
        WHERE mailing_id = :mailing AND closed_at IS NULL AND published_at IS NULL AND worker_id IS NULL
            AND (due_at IS NULL OR due_at <= now())
    ) waiting WHERE before < :rows
)
RETURNING id, row_count
""")

# The row names its slice only after the slice exists; until then -1 keeps it out of every range.
_DUE = text("""
WITH due AS (
    SELECT mailing_id, position, state FROM deliveries
    WHERE mailing_id = :mailing AND next_attempt_at <= now()
    ORDER BY next_attempt_at LIMIT :rows FOR UPDATE SKIP LOCKED
)
UPDATE deliveries d SET state = 'pending', slice_id = -1, next_attempt_at = NULL, reason = NULL, changed_at = now()
FROM due WHERE d.mailing_id = due.mailing_id AND d.position = due.position
RETURNING d.position, due.state
""")

_SLICES_OF_DUE = text("""
WITH part AS (
    SELECT array_agg(position ORDER BY position) AS positions FROM (
        SELECT position, (row_number() OVER (ORDER BY position) - 1) / :size AS number
        FROM unnest(CAST(:positions AS bigint[])) AS p(position)
    ) numbered GROUP BY number
), made AS (
    INSERT INTO slices (mailing_id, window_id, positions, row_count, lane, published_at)
    SELECT :mailing, :window, positions, cardinality(positions), 0, now() FROM part
    RETURNING id, positions, row_count
), named AS (
    UPDATE deliveries d SET slice_id = carrier.id
    FROM (SELECT id, unnest(positions) AS position FROM made) carrier
    WHERE d.mailing_id = :mailing AND d.position = carrier.position
)
SELECT id, row_count FROM made
""")

_CUT = text("""
WITH stretch AS (
    SELECT mailing_id, first_position, frontier, least(last_position, frontier + :rows - 1) AS last
    FROM stretches WHERE mailing_id = :mailing AND frontier <= last_position
    ORDER BY first_position LIMIT 1 FOR UPDATE
), moved AS (
    UPDATE stretches s SET frontier = stretch.last + 1 FROM stretch
    WHERE s.mailing_id = stretch.mailing_id AND s.first_position = stretch.first_position
)
INSERT INTO slices (mailing_id, window_id, first_position, last_position, row_count, lane, published_at)
SELECT mailing_id, :window, first, least(first + :size - 1, last), least(:size, last - first + 1), 0, now()
FROM stretch CROSS JOIN LATERAL generate_series(frontier, last, :size) AS first
RETURNING id, row_count
""")
