"""The pages of tasks: what is the machine doing?"""

from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.accounts.users import User
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.tasks.tasks import Task, TaskState, create_task

HERE = "/admin/tasks"


def _task(session: Session, title: str, state: TaskState = TaskState.WAITING, *, kind: str = "export") -> Task:
    now = utc_now()
    task = create_task(session, kind=kind, subject_id=7, title=title, created_by=None, now=now)
    task.state = state
    if state not in (TaskState.WAITING, TaskState.RUNNING):
        task.started_at = task.finished_at = now
    session.flush()
    return task


def test_nothing_to_do_is_said(signed_in: TestClient) -> None:
    assert "Nothing to do" in signed_in.get(HERE).text


def test_open_tasks_are_cards_and_the_rest_is_a_table(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        running = _task(session, "Import of a.csv", TaskState.RUNNING, kind="import")
        running.done_count, running.total_count = 5, 10
        _task(session, "Export <b>")
        failed = _task(session, "Broken", TaskState.FAILED)
        failed.error = "The disk is full."
        _task(session, "Fine", TaskState.SUCCEEDED)
    page = signed_in.get(HERE).text
    assert page.count("data-live=") == 2
    assert 'href="/admin/imports/7"' in page
    assert "Export &lt;b&gt;" in page
    assert "The disk is full." in page
    only = signed_in.get(HERE, params={"state": "failed"}).text
    assert "Broken" in only
    assert "Fine" not in only
    assert "No task has been cancelled yet." in signed_in.get(HERE, params={"state": "cancelled"}).text


def test_a_task_tells_its_progress_and_its_result(
    signed_in: TestClient, session_factory: SessionFactory, user: User
) -> None:
    with session_factory.begin() as session:
        task = _task(session, "Export", TaskState.RUNNING)
        task.created_by, task.done_count, task.total_count = user.id, 3, 9
    live = signed_in.get(f"{HERE}/{task.id}/live").json()
    assert (live["done"], live["done_count"], live["total_count"]) == (False, 3, 9)
    with session_factory.begin() as session:
        over = session.get_one(Task, task.id)
        over.state, over.finished_at, over.result = TaskState.SUCCEEDED, utc_now(), {"complete": True, "rows": 9000}
    page = signed_in.get(f"{HERE}/{task.id}").text
    assert "<dt>Rows in all</dt><dd>9,000</dd><dt>Complete</dt><dd>yes</dd>" in page
    assert "data-live=" not in page
    assert signed_in.get(f"{HERE}/{task.id}/live").json()["done"] is True


def test_a_task_is_cancelled(
    signed_in: TestClient, session_factory: SessionFactory, nudges: list[tuple[object, ...]]
) -> None:
    with session_factory.begin() as session:
        task = _task(session, "Export")
        over = _task(session, "Over", TaskState.SUCCEEDED)
    assert signed_in.post(f"{HERE}/{task.id}/cancel").status_code == 303
    assert nudges == [(queue.HOP, task.id)]
    assert "It stops after the step in hand." in signed_in.get(HERE).text
    assert signed_in.post(f"{HERE}/{over.id}/cancel").status_code == 409
    assert signed_in.get(f"{HERE}/999").status_code == 404
