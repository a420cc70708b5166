"""The ledger: one row per copy of a mailing, in one of eight states, and the counters that sum them."""

import enum
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Computed, Index, SmallInteger, func, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.db import Base


class DeliveryState(enum.StrEnum):
    """
    pending → sending               INTENT, committed before the first byte of the body
    pending → rejected | deferred   a verdict on the envelope, before any body
    pending → skipped | cancelled
    sending → accepted | deferred | rejected | unknown     RESULT
    sending → pending               certain that no byte of the body went out
    deferred → pending | cancelled
    unknown → accepted | deferred | rejected               a late result
    unknown → accepted | rejected   by hand: somebody found out
    unknown → pending               by hand, or once where the policy is to resend
    rejected → pending              by hand
    """

    PENDING = "pending"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


TROUBLE = (
    DeliveryState.DEFERRED,
    DeliveryState.REJECTED,
    DeliveryState.UNKNOWN,
    DeliveryState.SKIPPED,
    DeliveryState.CANCELLED,
)
"""States that somebody may ask for by name and that are rare enough for an index."""


DUE = text("next_attempt_at IS NOT NULL")
TROUBLED = text("trouble IS NOT NULL")


class Delivery(Base):
    """One copy of one mailing for one contact. Work is taken by position over the primary key, never by state.

    `state` stands in no index and in no index predicate, so that its changes stay HOT; `trouble` repeats the rare
    states for the send log's filters. `slice_id` names the list slice that carries the row since it left its stretch.
    `attempt_count` counts all attempts, `burnt_count` those that the recipient's retries count, `spared_count` how many
    in a row, up to now, were not the recipient's fault.
    No foreign keys: they double the time of an enrolment.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        Index(
            "uq_deliveries_contact",
            "mailing_id",
            "contact_id",
            unique=True,
        ),
        Index("uq_deliveries_address", "mailing_id", "address_hash", unique=True),
        Index("ix_deliveries_due", "mailing_id", "next_attempt_at", postgresql_where=DUE),
        Index(
            "ix_deliveries_trouble",
            "mailing_id",
            "trouble",
            "position",
            postgresql_where=TROUBLED,
            postgresql_include=["reason"],
        ),
        {
            "postgresql_with": {
                "fillfactor": "80",
                "autovacuum_vacuum_scale_factor": "0.02",
                "autovacuum_vacuum_threshold": "5000",
                "autovacuum_vacuum_insert_scale_factor": "0.1",
                "autovacuum_analyze_scale_factor": "0.05",
                "autovacuum_vacuum_cost_delay": "0",
            }
        },
    )

    mailing_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    contact_id: Mapped[int | None]
    slice_id: Mapped[int | None]
    next_attempt_at: Mapped[datetime | None]
    first_attempt_at: Mapped[datetime | None]
    changed_at: Mapped[datetime]
    lane: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    attempt_count: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    burnt_count: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    spared_count: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    state: Mapped[str]
    address_hash: Mapped[bytes]
    reason: Mapped[str | None]
    trouble: Mapped[str | None] = mapped_column(
        Computed(
            "CASE WHEN state IN ('deferred', 'rejected', 'unknown', 'skipped', 'cancelled') THEN state END",
            persisted=True,
        )
    )


class Counter(Base):
    """How many deliveries of a mailing one worker moved into (or, negative, out of) a state. The sums are shown.

    Worker 0 is whoever is no send worker: enrolment, sweep, cancel, retry. A send worker begins a new `part` every
    thousand commits: while somebody's old snapshot is open, no version of a row can be cleared away, and every update
    walks over all of them.
    """

    __tablename__ = "counters"
    __table_args__ = (
        {
            "postgresql_with": {
                "fillfactor": "50",
                "autovacuum_vacuum_scale_factor": "0.02",
                "autovacuum_vacuum_threshold": "500",
            }
        },
    )

    mailing_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    worker_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, server_default="0")
    state: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]


def count_moves(session: Session, mailing_id: int, changes: Mapping[str, int]) -> None:
    """Add moves that were made by no send worker to the mailing's counters, in the transaction that makes them."""
    session.execute(
        _COUNT_MOVES,
        {"mailing": mailing_id, "states": [str(s) for s in changes], "changes": list(changes.values())},
    )


def states_of(session: Session, mailing_id: int) -> dict[DeliveryState, int]:
    """How many deliveries of the mailing are in each of the eight states, from the counters."""
    rows = session.execute(
        select(Counter.state, func.sum(Counter.count)).where(Counter.mailing_id == mailing_id).group_by(Counter.state)
    )
    counts = {DeliveryState(state): int(count) for state, count in rows}
    return {state: counts.get(state, 0) for state in DeliveryState}


_COUNT_MOVES = text("""
INSERT INTO counters (mailing_id, worker_id, state, count)
SELECT :mailing, 0, state, sum(change)
FROM unnest(CAST(:states AS text[]), CAST(:changes AS bigint[])) AS c(state, change)
WHERE change <> 0 GROUP BY state ORDER BY state
ON CONFLICT (mailing_id, worker_id, part, state) DO UPDATE SET count = counters.count + excluded.count
""")
