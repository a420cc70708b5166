"""Windows, slices and stretches: which rows are being worked on, by whom, and which are still to be dealt out."""

from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base, BigId, CreatedAt

DISPATCH_LOCK = 0x6D62
"""Advisory: whoever deals slices out, and so counts moves of several mailings in one transaction, holds it alone."""


class Stretch(Base):
    """A run of positions of one lane, laid down by a page of enrolment. `frontier` is the first not yet in a slice."""

    __tablename__ = "stretches"

    mailing_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    first_position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last_position: Mapped[int]
    frontier: Mapped[int]
    lane: Mapped[int] = mapped_column(SmallInteger)


class Window(Base):
    """A bundle of slices of one lane that was published as one chord; past its deadline the sweep takes over."""

    __tablename__ = "windows"
    __table_args__ = (
        Index("ix_windows_mailing", "mailing_id", "id"),
        Index("ix_windows_open", "mailing_id", postgresql_where=text("closed_at IS NULL")),
    )

    id: Mapped[BigId]
    mailing_id: Mapped[int]
    lane: Mapped[int] = mapped_column(SmallInteger)
    opened_at: Mapped[CreatedAt]
    deadline_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class Slice(Base):
    """What one send task works on: a range of positions, or a list of them for retries and rows taken back.

    Open (closed_at NULL) and in one of four conditions: cut (published_at NULL), waiting (due_at in the future),
    published (in a window, worker_id NULL), leased (worker_id and token). The token fences every row that it covers.
    """

    __tablename__ = "slices"
    __table_args__ = (
        Index("ix_slices_open", "mailing_id", "id", postgresql_where=text("closed_at IS NULL")),
        Index(
            "ix_slices_put_back",
            "mailing_id",
            "id",
            postgresql_where=text("closed_at IS NULL AND published_at IS NULL"),
        ),
        Index("ix_slices_window", "window_id", postgresql_where=text("closed_at IS NULL")),
        Index("ix_slices_leased", "worker_id", postgresql_where=text("worker_id IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.02"}},
    )

    id: Mapped[BigId]
    mailing_id: Mapped[int]
    window_id: Mapped[int | None]
    first_position: Mapped[int | None]
    last_position: Mapped[int | None]
    positions: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))
    row_count: Mapped[int]
    lane: Mapped[int] = mapped_column(SmallInteger)
    due_at: Mapped[datetime | None]
    hold_reason: Mapped[str | None]
    published_at: Mapped[datetime | None]
    worker_id: Mapped[int | None]
    token: Mapped[int | None]
    leased_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
