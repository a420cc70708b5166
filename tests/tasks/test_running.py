"""A task's steps are done once each, whoever runs it, dies, is late or cancels."""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from email_campaign.accounts.users import User
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.errors import Conflict
from email_campaign.settings import Settings
from email_campaign.tasks.running import MAX_INTERRUPTIONS, Handler, Step, lease, run
from email_campaign.tasks.tasks import Task, TaskState, create_task, get_task, request_cancel
from tests.faults.waiting import wait_for_a_waiting_lock

NOW = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)

assert User.__tablename__ == "users"  # tasks refer to it


def counting(total: int, before: Callable[[int], None] = lambda _: None) -> Mapping[str, Handler]:
    """A handler that counts to `total`, one a step."""

    def step(session: Session, task: Task, settings: Settings, now: datetime) -> Step:
        done = int(task.cursor.get("at", 0)) + 1
        task.title += f" {done}"
        before(done)
        return Step({"at": done}, done, more=done < total)

    def close(session: Session, task: Task, settings: Settings, now: datetime) -> Mapping[str, Any]:
        return {"counted": task.done_count, "state": task.state.value}

    return {"count": Handler(step, close)}


@pytest.fixture
def task_id(session_factory: SessionFactory) -> int:
    with session_factory.begin() as session:
        return create_task(session, kind="count", subject_id=None, title="Count", created_by=None, now=NOW).id


def reread(factory: SessionFactory, task_id: int) -> Task:
    with factory() as session:
        return get_task(session, task_id)


def test_a_task_runs_to_its_end_with_a_result(
    session_factory: SessionFactory, settings: Settings, task_id: int
) -> None:
    assert run(session_factory, task_id, counting(3), settings) is False
    task = reread(session_factory, task_id)
    assert (task.state, task.done_count, task.title) == (TaskState.SUCCEEDED, 3, "Count 1 2 3")
    assert task.result == {"counted": 3, "state": "succeeded"}
    assert task.finished_at is not None
    assert run(session_factory, task_id, counting(3), settings) is False
    assert reread(session_factory, task_id).title == "Count 1 2 3"


def test_a_long_task_lets_go_after_its_hop_and_goes_on(
    session_factory: SessionFactory, settings: Settings, task_id: int
) -> None:
    short = settings.model_copy(update={"task_hop_seconds": 0.0001})
    hops = 1
    while run(session_factory, task_id, counting(3), short):
        hops += 1
        assert reread(session_factory, task_id).lease_until is None
    assert hops >= 3
    assert reread(session_factory, task_id).title == "Count 1 2 3"


def test_only_one_worker_has_a_task_until_the_lease_is_over(session_factory: SessionFactory, task_id: int) -> None:
    first = lease(session_factory, task_id, 60, NOW)
    assert first is not None
    assert lease(session_factory, task_id, 60, NOW + timedelta(seconds=59)) is None
    second = lease(session_factory, task_id, 60, NOW + timedelta(seconds=60))
    assert second is not None
    assert second.token > first.token


def test_a_worker_that_lost_its_lease_saves_nothing(
    session_factory: SessionFactory, settings: Settings, task_id: int
) -> None:
    taker: list[threading.Thread] = []

    def take_it_away(done: int) -> None:
        if done == 2:
            # It waits for the row that this step has locked, and gets it before the next step asks again.
            taker.append(threading.Thread(target=_take, args=(session_factory, task_id)))
            taker[0].start()
            wait_for_a_waiting_lock(session_factory)

    assert run(session_factory, task_id, counting(5, take_it_away), settings) is False
    taker[0].join()
    task = reread(session_factory, task_id)
    assert (task.done_count, task.lease_token, task.state) == (2, 99, TaskState.RUNNING)


def _take(factory: SessionFactory, task_id: int) -> None:
    with factory.begin() as session:
        session.execute(update(Task).where(Task.id == task_id).values(lease_token=99))


def test_a_step_that_fails_leaves_the_steps_before_and_words_for_people(
    session_factory: SessionFactory, settings: Settings, task_id: int, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(done: int) -> None:
        if done == 2:
            raise ZeroDivisionError("secret inside")

    assert run(session_factory, task_id, counting(3, break_down), settings) is False
    task = reread(session_factory, task_id)
    assert (task.state, task.done_count, task.title) == (TaskState.FAILED, 1, "Count 1")
    assert task.result == {"counted": 1, "state": "failed"}
    assert task.error is not None
    assert "secret" not in task.error
    error_id = task.error.split("report the error ")[1].split(":")[0]
    assert error_id in caplog.text
    assert "secret inside" in caplog.text


def test_a_failure_that_people_can_mend_is_told_as_it_is(
    session_factory: SessionFactory, settings: Settings, task_id: int
) -> None:
    def refuse(done: int) -> None:
        raise Conflict("The list is archived.")

    run(session_factory, task_id, counting(3, refuse), settings)
    assert reread(session_factory, task_id).error == "The list is archived."


def test_a_database_that_is_away_leaves_the_task_to_the_sweep(
    session_factory: SessionFactory, settings: Settings, task_id: int
) -> None:
    def lose_connection(done: int) -> None:
        if done == 2:
            raise OperationalError("SELECT", {}, ConnectionError("gone"))

    assert run(session_factory, task_id, counting(3, lose_connection), settings) is False
    assert reread(session_factory, task_id).state is TaskState.RUNNING
    later = settings.model_copy(update={"task_lease_seconds": -1.0})
    with session_factory.begin() as session:
        get_task(session, task_id).lease_until = utc_now()
    assert run(session_factory, task_id, counting(3), later) is False
    assert reread(session_factory, task_id).title == "Count 1 2 3"


def test_a_cancelled_task_stops_between_two_steps_and_says_how_far_it_came(
    session_factory: SessionFactory, settings: Settings, task_id: int
) -> None:
    short = settings.model_copy(update={"task_hop_seconds": 0.0001})
    run(session_factory, task_id, counting(5), short)
    with session_factory.begin() as session:
        request_cancel(session, task_id, NOW)
    assert run(session_factory, task_id, counting(5), settings) is False
    task = reread(session_factory, task_id)
    assert (task.state, task.title) == (TaskState.CANCELLED, "Count 1")
    assert task.result == {"counted": 1, "state": "cancelled"}
    with session_factory.begin() as session, pytest.raises(Conflict, match="over"):
        request_cancel(session, task_id, NOW)


def test_work_that_kills_every_worker_is_given_up(
    session_factory: SessionFactory, settings: Settings, task_id: int
) -> None:
    now = utc_now() - timedelta(hours=1)
    for _ in range(MAX_INTERRUPTIONS):
        assert lease(session_factory, task_id, 1, now) is not None
        now += timedelta(seconds=2)
    assert run(session_factory, task_id, counting(3), settings) is False
    task = reread(session_factory, task_id)
    assert task.state is TaskState.FAILED
    assert "stopped every worker" in (task.error or "")


def test_a_kind_that_nobody_knows_fails_and_says_so(
    session_factory: SessionFactory, settings: Settings, task_id: int
) -> None:
    run(session_factory, task_id, {}, settings)
    assert "“count”" in (reread(session_factory, task_id).error or "")
