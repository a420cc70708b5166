"""Workers: one row per started send process, with the beat by which the others know that it lives."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Index, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.db import Base, BigId, CreatedAt
from email_campaign.delivery.measures import Measures
from email_campaign.delivery.windows import DISPATCH_LOCK


class Worker(Base):
    """A send process from its start to its end; a restart is a new row. The sweep counts its own looks."""

    __tablename__ = "workers"
    __table_args__ = (
        Index("ix_workers_alive", "id", postgresql_where=text("ended_at IS NULL")),
        {"postgresql_with": {"fillfactor": "50"}},
    )

    id: Mapped[BigId]
    host: Mapped[str]
    pid: Mapped[int]
    started_at: Mapped[CreatedAt]
    beat_at: Mapped[datetime]
    beat_count: Mapped[int] = mapped_column(server_default="0")
    rate_per_second: Mapped[float | None]
    connection_count: Mapped[int] = mapped_column(server_default="0")
    measures: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    seen_beat_count: Mapped[int] = mapped_column(server_default="-1")
    missed_looks: Mapped[int] = mapped_column(server_default="0")
    ended_at: Mapped[datetime | None]
    folded_at: Mapped[datetime | None]


@dataclass(frozen=True, slots=True)
class Leased:
    """A slice in a worker's hands. The token tells this lease from a later one of the same slice."""

    slice_id: int
    mailing_id: int
    worker_id: int
    token: int


def register(session: Session, *, host: str, pid: int, now: datetime) -> int:
    """The id of a new send process."""
    worker = Worker(host=host, pid=pid, beat_at=now)
    session.add(worker)
    session.flush()
    return worker.id


def beat(
    session: Session,
    worker_id: int,
    *,
    rate_per_second: float | None,
    connection_count: int,
    measures: Measures | None = None,
) -> bool:
    """Say that the worker lives. False when it was declared dead meanwhile: it must register anew."""
    values = {
        "worker": worker_id,
        "rate": rate_per_second,
        "connections": connection_count,
        "measures": json.dumps((measures or Measures()).to_row()),
    }
    return session.execute(_BEAT, values).one_or_none() is not None


def sign_off(session: Session, worker_id: int) -> None:
    """The worker ends by itself. Safe to repeat."""
    session.execute(_END, {"workers": [worker_id]})


def look(session: Session, dead_after: int) -> list[int]:
    """One look of the sweep at all workers; the ids of those that are dead now.

    Only looks count that found no new beat, so an outage of Postgres, in which nobody can beat or look, kills nobody.
    """
    session.execute(_LOOK)
    dead = list(session.scalars(_DEAD, {"looks": dead_after}))
    session.execute(_END, {"workers": dead})
    return dead


def count_alive(session: Session) -> int:
    """How many send processes there are now, as far as is known."""
    return session.scalar(select(func.count()).select_from(Worker).where(Worker.ended_at.is_(None))) or 0


def leases_of(session: Session, worker_id: int) -> list[Leased]:
    """The slices that this worker holds."""
    return [Leased(*row) for row in session.execute(_LEASES, {"worker": worker_id})]


def leases_of_the_dead(session: Session) -> list[Leased]:
    """The slices whose worker has ended, in the order of their mailings."""
    return [Leased(*row) for row in session.execute(_LEASES_OF_THE_DEAD)]


def fold_counters(session: Session) -> None:
    """Add the counters of workers that ended an hour ago, and the parts that the living are done with, to worker 0's,
    so that they stay few. Safe to repeat."""
    # A dispatch counts its mailings in the order of their turns, this in the order of their ids.
    session.execute(select(func.pg_advisory_xact_lock(DISPATCH_LOCK)))
    session.execute(_FOLD)


_BEAT = text("""
UPDATE workers
SET beat_at = now(), beat_count = beat_count + 1, rate_per_second = :rate, connection_count = :connections,
    measures = CAST(:measures AS jsonb)
WHERE id = :worker AND ended_at IS NULL RETURNING id
""")
_END = text("UPDATE workers SET ended_at = now(), connection_count = 0 WHERE id = ANY (:workers) AND ended_at IS NULL")
_LOOK = text("""
UPDATE workers SET missed_looks = CASE WHEN beat_count = seen_beat_count THEN missed_looks + 1 ELSE 0 END,
    seen_beat_count = beat_count
WHERE ended_at IS NULL
""")
_DEAD = text("SELECT id FROM workers WHERE ended_at IS NULL AND missed_looks >= :looks")
_LEASES = text("""
SELECT id, mailing_id, worker_id, token FROM slices WHERE worker_id = :worker AND closed_at IS NULL ORDER BY id
""")
_LEASES_OF_THE_DEAD = text("""
SELECT s.id, s.mailing_id, s.worker_id, s.token FROM slices s JOIN workers w ON w.id = s.worker_id
WHERE w.ended_at IS NOT NULL AND s.closed_at IS NULL ORDER BY s.mailing_id, s.id
""")
_FOLD = text("""
WITH old AS (
    UPDATE workers SET folded_at = now()
    WHERE ended_at < now() - interval '1 hour' AND folded_at IS NULL
        AND NOT EXISTS (SELECT FROM slices s WHERE s.worker_id = workers.id AND s.closed_at IS NULL)
    RETURNING id
), newest AS (
    SELECT worker_id, max(part) AS part FROM counters WHERE worker_id <> 0 GROUP BY worker_id
), taken AS (
    DELETE FROM counters c USING newest
    WHERE c.worker_id = newest.worker_id
        AND (c.part < newest.part - 1 OR EXISTS (SELECT FROM old WHERE old.id = c.worker_id))
    RETURNING c.*
)
INSERT INTO counters (mailing_id, worker_id, state, count)
SELECT mailing_id, 0, state, sum(count) FROM taken GROUP BY mailing_id, state ORDER BY mailing_id, state
ON CONFLICT (mailing_id, worker_id, part, state) DO UPDATE SET count = counters.count + excluded.count
""")
