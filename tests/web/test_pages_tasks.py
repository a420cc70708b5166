"""The pages of tasks: what is the machine doing?"""

from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.accounts.users import User
from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.proof_task import TASK_KIND as PROOF
from email_campaign.tasks.tasks import Task, TaskState, create_task
from tests.factories import make_campaign

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
    assert page.count("data-live=") == 3  # two cards, and which cards there are
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
    assert '<span data-live-when="cancelling">It stops after the step in hand.</span>' in signed_in.get(HERE).text
    assert signed_in.post(f"{HERE}/{over.id}/cancel").status_code == 409
    assert signed_in.get(f"{HERE}/999").status_code == 404


def test_tasks_are_filtered_by_state_and_kind_and_paged(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        for number in range(3):
            _task(session, f"Waiting {number}", kind="import")
        _task(session, "A proof", kind=PROOF)
    page = signed_in.get(HERE, params={"state": "waiting", "kind": "import", "limit": "2"}).text
    assert "Waiting 2" in page
    assert "Waiting 0" not in page
    assert "A proof" not in page
    assert "1–2 of 3" in page
    older = page.split('" rel="next">')[0].rpartition('href="')[2].replace("&amp;", "&")
    assert "Waiting 0" in signed_in.get(older).text
    assert "No task is running." in signed_in.get(HERE, params={"state": "running"}).text
    everything = signed_in.get(HERE, params={"state": "nonsense", "kind": "nonsense"})
    assert everything.text.count('class="card task ') == 4


def test_a_task_names_its_kind_and_leads_to_what_it_is_about(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        task = _task(session, "Mark unknown copies as accepted: Spring", kind="resolve_unknown")
        stranger = _task(session, "Wash the windows", kind="wash_windows")
    page = signed_in.get(f"{HERE}/{task.id}").text
    assert "<dt>Kind</dt><dd>Unknown copies</dd>" in page
    assert 'href="/admin/campaigns/7/unknown"' in page
    assert "<dt>Kind</dt><dd>Wash windows</dd>" in signed_in.get(f"{HERE}/{stranger.id}").text


def test_what_failed_is_tried_again_where_that_is_possible(
    signed_in: TestClient, session_factory: SessionFactory, nudges: list[tuple[object, ...]], user: User
) -> None:
    with session_factory.begin() as session:
        campaign = make_campaign(session, state=MailingState.FINISHED)
        failed = _task(session, "Proof of Spring", TaskState.FAILED, kind=PROOF)
        failed.subject_id, failed.error = campaign.id, "The database was away."
        upload = _task(session, "Import of a.csv", TaskState.FAILED, kind="import")
    assert f'href="{HERE}/{failed.id}">Try again…' in signed_in.get(HERE).text
    assert f'action="{HERE}/{failed.id}/retry"' in signed_in.get(f"{HERE}/{failed.id}").text
    assert "/retry" not in signed_in.get(f"{HERE}/{upload.id}").text
    answer = signed_in.post(f"{HERE}/{failed.id}/retry")
    assert answer.headers["Location"] == f"/admin/campaigns/{campaign.id}/proof"
    with session_factory() as session:
        again = session.get_one(Task, upload.id + 1)
    assert (again.state, again.created_by, again.kind) == (TaskState.WAITING, user.id, PROOF)
    assert nudges == [(queue.HOP, again.id)]
    assert signed_in.post(f"{HERE}/{upload.id}/retry").status_code == 409
    assert signed_in.post(f"{HERE}/{again.id}/retry").status_code == 409
    assert signed_in.post(f"{HERE}/999/retry").status_code == 404
