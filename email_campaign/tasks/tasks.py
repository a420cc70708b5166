"""Tasks: long work as a row with progress, a cursor, a lease and a result, done in hops of a few seconds."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base, BigId, CreatedAt, text_enum


class TaskState(enum.StrEnum):
    """waiting → running → succeeded | failed | cancelled; waiting → cancelled."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Task(Base):
    """One piece of long work. `kind` names its handler; `subject_id` the row that it works on."""

    __tablename__ = "tasks"
    __table_args__ = (
        Index("ix_tasks_open", "id", postgresql_where=text("finished_at IS NULL")),
        Index(None, "kind", "subject_id"),
    )

    id: Mapped[BigId]
    kind: Mapped[str]
    subject_id: Mapped[int | None]
    title: Mapped[str]
    state: Mapped[TaskState] = mapped_column(text_enum(TaskState), server_default="waiting")
    done_count: Mapped[int] = mapped_column(server_default="0")
    total_count: Mapped[int | None]
    cursor: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[str | None]
    lease_token: Mapped[int | None]
    lease_until: Mapped[datetime | None]
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
