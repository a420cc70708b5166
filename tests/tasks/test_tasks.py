"""The sweep finds what nobody works on, once in a while, and a task tells its pace."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from email_campaign.accounts.users import User
from email_campaign.errors import NotFound
from email_campaign.tasks.tasks import Pace, Task, TaskState, all_tasks, create_task, get_task, overdue, pace

NOW = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)

assert User.__tablename__ == "users"  # tasks refer to it


def make(session: Session, *, created: datetime = NOW, lease_until: datetime | None = None) -> Task:
    task = create_task(session, kind="count", subject_id=None, title="Count", created_by=None, now=created)
    task.lease_until = lease_until
    session.flush()
    return task


def test_the_sweep_finds_lost_nudges_and_dead_workers_only(session: Session) -> None:
    early = NOW - timedelta(seconds=20)
    waiting = make(session, created=early)
    dead = make(session, created=early, lease_until=NOW)
    make(session, created=early, lease_until=NOW + timedelta(seconds=1))
    make(session, created=NOW)
    make(session, created=early).finished_at = NOW
    assert sorted(overdue(session, NOW, 15)) == [waiting.id, dead.id]


def test_the_sweep_does_not_repeat_itself_at_once(session: Session) -> None:
    task = make(session, created=NOW - timedelta(minutes=1))
    assert overdue(session, NOW, 15) == [task.id]
    assert overdue(session, NOW + timedelta(seconds=14), 15) == []
    assert overdue(session, NOW + timedelta(seconds=15), 15) == [task.id]


def test_rate_and_time_left_come_from_the_row(session: Session) -> None:
    task = make(session)
    assert pace(task, NOW) == Pace(None, None)
    task.started_at, task.done_count, task.total_count = NOW, 300, 1000
    assert pace(task, NOW + timedelta(seconds=10)) == Pace(30.0, 700 / 30)
    task.total_count = None
    assert pace(task, NOW + timedelta(seconds=10)) == Pace(30.0, None)
    task.finished_at = NOW + timedelta(seconds=5)
    assert pace(task, NOW + timedelta(hours=1)) == Pace(60.0, None)


def test_tasks_are_listed_by_state(session: Session) -> None:
    task = make(session)
    assert [one.id for one in session.scalars(all_tasks(TaskState.WAITING, TaskState.RUNNING))] == [task.id]
    assert session.scalars(all_tasks(TaskState.FAILED)).all() == []
    assert get_task(session, task.id) is task
    with pytest.raises(NotFound):
        get_task(session, task.id + 1)
