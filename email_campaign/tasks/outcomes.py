"""How work that the clock starts ended, as rows of tasks: what failed is seen until it works again."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from email_campaign.tasks.tasks import Task, TaskState, create_task

TITLES: Mapping[str, str] = {
    "backup": "Backup of the database, in MB",
    "back_up": "Nightly asking for a backup",
    "recount": "Nightly recount of the counters",
    "put_away": "Nightly putting away of old attempts",
    "tidy_images": "Nightly look for lost and forgotten images",
    "ask_for_reports": "Looking for reports that are due",
    "report": "Scheduled report",
}
"""Kinds of tasks that nobody asked for, and whose failure nobody would otherwise hear of."""


def last_failures(session: Session) -> list[Task]:
    """The last task of each of these kinds that is over, where it failed."""
    last = [_last(session, kind) for kind in TITLES]
    return [task for task in last if task is not None and task.state is TaskState.FAILED]


def title_of(task: Task) -> str:
    """What the task is, in a few words: of these kinds without what stands behind the comma, such as a unit."""
    return task.title.partition(",")[0] if task.kind in TITLES else task.title


def tell_failure(session: Session, kind: str, error: str, now: datetime) -> None:
    """Write down that it failed. Safe to repeat: while the last that was heard is a failure, that tells enough."""
    last = _last(session, kind)
    if last is None or last.state is not TaskState.FAILED:
        _write(session, kind, TaskState.FAILED, error, now)


def tell_success(session: Session, kind: str, now: datetime) -> None:
    """Write down that it works, where the last that was heard was a failure. Safe to repeat."""
    last = _last(session, kind)
    if last is not None and last.state is TaskState.FAILED:
        _write(session, kind, TaskState.SUCCEEDED, None, now)


def _last(session: Session, kind: str) -> Task | None:
    over = select(Task).where(Task.kind == kind, Task.finished_at.is_not(None), Task.state != TaskState.CANCELLED)
    return session.scalars(over.order_by(Task.finished_at.desc(), Task.id.desc()).limit(1)).first()


def _write(session: Session, kind: str, state: TaskState, error: str | None, now: datetime) -> None:
    task = create_task(session, kind=kind, subject_id=None, title=TITLES[kind], created_by=None, now=now)
    task.state, task.error, task.result = state, error, {}
    task.started_at = task.finished_at = now
