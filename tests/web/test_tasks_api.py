"""Tasks over HTTP."""

from datetime import timedelta

from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.unknown_task import TASK_KIND as RESOLVE_UNKNOWN
from email_campaign.tasks.tasks import Task, TaskState, create_task
from tests.factories import make_campaign


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


def test_tasks_are_found_by_kind_and_subject(api: TestClient, session_factory: SessionFactory) -> None:
    proof = _task(session_factory, kind="proof")
    other = _task(session_factory, kind="proof", subject_id=8)
    _task(session_factory)
    listed = api.get("/api/v1/tasks", params={"kind": "proof"}).json()["items"]
    assert [task["id"] for task in listed] == [other.id, proof.id]
    listed = api.get("/api/v1/tasks", params={"kind": "proof", "subject_id": 7}).json()["items"]
    assert [task["id"] for task in listed] == [proof.id]
    for wrong in ({"subject_id": "x"}, {"subject_id": "99999999999999999999"}, {"state": "lost"}):
        assert api.get("/api/v1/tasks", params=wrong).status_code == 422
    assert api.get("/api/v1/tasks", params={"kind": "\0"}).status_code == 200


def test_a_failed_task_goes_on_where_it_stopped_as_a_new_one(
    api: TestClient, session_factory: SessionFactory, nudges: list[tuple[object, ...]]
) -> None:
    with session_factory.begin() as session:
        subject_id = make_campaign(session, state=MailingState.FINISHED).id
    cursor = {"first": 2001, "resolution": "accepted", "actor": "Ada", "until": "2026-03-04T14:00:00+00:00"}
    fields = {"kind": RESOLVE_UNKNOWN, "subject_id": subject_id, "state": TaskState.FAILED, "finished_at": utc_now()}
    failed = _task(session_factory, cursor=cursor, done_count=2000, total_count=5000, **fields)
    assert api.get(f"/api/v1/tasks/{failed.id}").json()["can_retry"] is True
    answer = api.post(f"/api/v1/tasks/{failed.id}/retry")
    assert answer.status_code == 202
    again = answer.json()
    assert (again["state"], again["done_count"], again["total_count"]) == ("waiting", 0, 3000)
    assert nudges == [(queue.HOP, again["id"])]
    with session_factory() as session:
        assert session.get_one(Task, again["id"]).cursor == cursor
    refused = api.post(f"/api/v1/tasks/{failed.id}/retry")
    assert refused.status_code == 409
    assert f"by task {again['id']}" in refused.json()["detail"]
    upload = _task(session_factory, state=TaskState.FAILED, finished_at=utc_now())
    refused = api.post(f"/api/v1/tasks/{upload.id}/retry")
    assert refused.status_code == 409
    assert "cannot be tried again" in refused.json()["detail"]


def test_a_task_that_nobody_has_is_404_whatever_its_id(api: TestClient) -> None:
    for unknown in ("999", "99999999999999999999", "x", "-1"):
        answer = api.get(f"/api/v1/tasks/{unknown}")
        assert answer.status_code == 404, unknown
        assert answer.headers["Content-Type"] == "application/problem+json"
