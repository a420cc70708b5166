"""Tasks over HTTP."""

from datetime import timedelta

from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.tasks.tasks import Task, TaskState, create_task


def _task(factory: SessionFactory, **values: object) -> Task:
    with factory.begin() as session:
        task = create_task(session, kind="import", subject_id=7, title="Import", created_by=None, now=utc_now())
        for name, value in values.items():
            setattr(task, name, value)
        return task


def test_a_running_task_says_how_far_it_is_and_how_long_it_takes(
    api: TestClient, session_factory: SessionFactory
) -> None:
    begun = utc_now() - timedelta(seconds=10)
    task = _task(session_factory, state=TaskState.RUNNING, started_at=begun, done_count=100, total_count=300)
    answer = api.get(f"/api/v1/tasks/{task.id}").json()
    assert (answer["state"], answer["done_count"], answer["total_count"]) == ("running", 100, 300)
    assert 5 < answer["per_second"] <= 10
    assert 20 <= answer["seconds_left"] < 60


def test_a_task_can_be_cancelled_and_a_finished_one_not(
    api: TestClient, session_factory: SessionFactory, nudges: list[tuple[object, ...]]
) -> None:
    task = _task(session_factory)
    answer = api.post(f"/api/v1/tasks/{task.id}/cancel")
    assert answer.status_code == 202
    assert answer.json()["cancel_requested_at"]
    assert nudges == [(queue.HOP, task.id)]
    over = _task(session_factory, state=TaskState.SUCCEEDED, finished_at=utc_now())
    refused = api.post(f"/api/v1/tasks/{over.id}/cancel")
    assert refused.status_code == 409
    assert "over" in refused.json()["detail"]


def test_tasks_are_listed_by_state_newest_first(api: TestClient, session_factory: SessionFactory) -> None:
    ids = [_task(session_factory).id for _ in range(2)]
    _task(session_factory, state=TaskState.FAILED, finished_at=utc_now())
    listed = api.get("/api/v1/tasks", params={"state": "waiting"}).json()["items"]
    assert [task["id"] for task in listed] == ids[::-1]


def test_a_task_that_nobody_has_is_404_whatever_its_id(api: TestClient) -> None:
    for unknown in ("999", "99999999999999999999", "x", "-1"):
        answer = api.get(f"/api/v1/tasks/{unknown}")
        assert answer.status_code == 404, unknown
        assert answer.headers["Content-Type"] == "application/problem+json"
