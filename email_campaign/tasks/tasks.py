"""Tasks: long work as a row with progress, a cursor, a lease and a result, done in steps of one transaction each."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, Index, Select, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.db import Base, BigId, CreatedAt, text_enum
from email_campaign.errors import Conflict, NotFound

MAX_SWEEP = 200
"""Tasks that one sweep nudges at most; the next sweep takes the next ones."""


class TaskState(enum.StrEnum):
    """
    waiting → running → succeeded | failed | cancelled

    A task whose worker died stays running; it has a lease that is over, and the next worker goes on at its cursor.
    """

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Task(Base):
    """One piece of long work. `kind` names its handler; `subject_id` the row that it works on.

    `lease_token` counts the leases, so a later holder has a higher one. `interruption_count` counts the workers in a
    row that let a lease run out without a single step. `error` is for people; `result` stands beside it.
    `earlier_count` of `done_count` were done by an earlier task that this one resumes: they say nothing of its pace.
    """

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
    earlier_count: Mapped[int] = mapped_column(server_default="0")
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
    nudged_at: Mapped[datetime] = mapped_column(server_default=func.now())
    interruption_count: Mapped[int] = mapped_column(server_default="0")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a task goes and how long it may still take; None where nobody can say."""

    per_second: float | None
    seconds_left: float | None


def create_task(
    session: Session, *, kind: str, subject_id: int | None, title: str, created_by: int | None, now: datetime
) -> Task:
    """A task that waits for a worker: the door nudges it after commit, or else a sweep does."""
    task = Task(
        kind=kind,
        subject_id=subject_id,
        title=title,
        created_by=created_by,
        created_at=now,
        nudged_at=now,
        state=TaskState.WAITING,
        done_count=0,
        earlier_count=0,
        cursor={},
        interruption_count=0,
    )
    session.add(task)
    session.flush()
    return task


def get_task(session: Session, task_id: int) -> Task:
    """Raises NotFound."""
    task = session.get(Task, task_id)
    if task is None:
        raise NotFound(f"There is no task {task_id}.")
    return task


def kind_of(session: Session, task_id: int) -> str | None:
    """Its kind alone; None where there is no such task."""
    return session.scalar(select(Task.kind).where(Task.id == task_id))


def all_tasks(*states: TaskState, kind: str = "", subject_id: int | None = None) -> Select[Task]:
    """Tasks of these states (or all), of one kind and about one row where these are given; keyset pages go by id."""
    found = select(Task).where(Task.state.in_(states)) if states else select(Task)
    if kind:
        found = found.where(Task.kind == kind)
    return found if subject_id is None else found.where(Task.subject_id == subject_id)


def failed(session: Session, task_id: int) -> Task:
    """A task that may be tried again. Raises NotFound, and Conflict for one that did not fail."""
    task = get_task(session, task_id)
    if task.state is not TaskState.FAILED:
        raise Conflict(f"The task is {task.state}; only what failed is tried again.")
    return task


def pace(task: Task, now: datetime) -> Pace:
    """Rate and time left, from the row alone."""
    if task.started_at is None:
        return Pace(None, None)
    seconds = ((task.finished_at or now) - task.started_at).total_seconds()
    done_count = task.done_count - task.earlier_count
    if seconds <= 0 or done_count <= 0:
        return Pace(None, None)
    per_second = done_count / seconds
    if task.finished_at is not None or task.total_count is None:
        return Pace(per_second, None)
    return Pace(per_second, max(task.total_count - task.done_count, 0) / per_second)


def request_cancel(session: Session, task_id: int, now: datetime) -> Task:
    """Ask a task to stop: its worker ends it between two steps, and the door nudges one. Safe to repeat.

    Raises NotFound, and Conflict when the task is over.
    """
    task = session.get(Task, task_id, with_for_update=True)
    if task is None:
        raise NotFound(f"There is no task {task_id}.")
    if task.finished_at is not None:
        raise Conflict(f"The task is over ({task.state}); there is nothing to cancel.")
    task.cancel_requested_at = task.cancel_requested_at or now
    session.flush()
    return task


def overdue(session: Session, now: datetime, nudge_seconds: float) -> Sequence[int]:
    """Ids of tasks that nobody works on and that were not nudged for `nudge_seconds`; marks them as nudged now.

    A lost nudge and a dead worker both end here. The mark keeps a long queue from filling with repeated nudges.
    """
    patience = now - timedelta(seconds=nudge_seconds)
    free = or_(Task.lease_until.is_(None), Task.lease_until <= now)
    late = (
        select(Task.id)
        .where(Task.finished_at.is_(None), free, Task.nudged_at <= patience)
        .order_by(Task.nudged_at)
        .limit(MAX_SWEEP)
        .with_for_update(skip_locked=True)
    )
    return session.scalars(update(Task).where(Task.id.in_(late)).values(nudged_at=now).returning(Task.id)).all()
