"""Workers: one row per started send process, with the beat by which the others know that it lives."""

from datetime import datetime

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base, BigId, CreatedAt


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
    seen_beat_count: Mapped[int] = mapped_column(server_default="-1")
    missed_looks: Mapped[int] = mapped_column(server_default="0")
    ended_at: Mapped[datetime | None]
    folded_at: Mapped[datetime | None]
