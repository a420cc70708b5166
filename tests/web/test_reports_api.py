"""Reports over HTTP: made, read, as a PDF, mailed to whoever asks; and the schedule."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.accounts.users import Role, User
from email_campaign.campaigns.mailings import Mailing
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.reports.scheduled.collect import collect
from email_campaign.reports.scheduled.report import Report, get_report
from email_campaign.tasks.tasks import Task, TaskState

HERE = "/api/v1/reports"


@pytest.fixture
def made(api: TestClient, session_factory: SessionFactory) -> int:
    """A weekly report that its task has made."""
    report_id = int(api.post(HERE, json={"kind": "weekly"}).json()["id"])
    with session_factory.begin() as session:
        report = get_report(session, report_id)
        task = session.get_one(Task, report.task_id)
        task.state, task.finished_at = TaskState.SUCCEEDED, utc_now()
        report.figures = collect(session, report.period, utc_now()).to_json()
        report.made_at = utc_now()
    return report_id


def test_a_report_is_asked_for_once_and_nobody_is_mailed(
    api: TestClient, session_factory: SessionFactory, nudges: list[tuple[object, ...]]
) -> None:
    first = api.post(HERE, json={"kind": "daily"})
    assert first.status_code == 202
    report = first.json()
    yesterday = utc_now().date() - timedelta(days=1)
    assert (report["first_day"], report["last_day"], report["zone"]) == (str(yesterday), str(yesterday), "UTC")
    assert report["made_at"] is None
    assert nudges == [(queue.HOP, report["task_id"])]
    assert api.post(HERE, json={"kind": "daily"}).json()["id"] == report["id"]
    assert len(nudges) == 1
    with session_factory() as session:
        assert session.scalars(select(Report)).one().mail_wanted_at is None


def test_a_report_says_its_figures_and_comes_as_a_pdf(api: TestClient, made: int) -> None:
    report = api.get(f"{HERE}/{made}").json()
    assert report["figures"]["now"]["campaigns"] == 0
    assert set(report["figures"]["launched"]["copies"]["counts"].values()) == {0}
    file = api.get(f"{HERE}/{made}/pdf")
    assert file.headers["Content-Type"] == "application/pdf"
    assert f'filename="weekly-report-{report["first_day"]}.pdf"' in file.headers["Content-Disposition"]
    assert file.content.startswith(b"%PDF-")
    listed = api.get(HERE, params={"kind": "weekly"}).json()["items"]
    assert [one["id"] for one in listed] == [made]
    assert "figures" not in listed[0]
    assert api.get(HERE, params={"kind": "daily"}).json()["items"] == []


def test_a_report_that_is_not_made_yet_has_no_pdf_and_no_mail(api: TestClient) -> None:
    report_id = api.post(HERE, json={"kind": "monthly"}).json()["id"]
    assert api.get(f"{HERE}/{report_id}").json()["figures"] is None
    assert api.get(f"{HERE}/{report_id}/pdf").status_code == 409
    assert api.post(f"{HERE}/{report_id}/send").status_code == 409
    assert api.get(f"{HERE}/999").status_code == 404


def test_a_report_is_mailed_to_whoever_asks_once_a_key(
    api: TestClient, made: int, user: User, session_factory: SessionFactory, nudges: list[tuple[object, ...]]
) -> None:
    nudges.clear()
    key = {"Idempotency-Key": "once"}
    first, again = (api.post(f"{HERE}/{made}/send", headers=key) for _ in range(2))
    assert (first.status_code, first.json()) == (202, again.json())
    with session_factory() as session:
        mailing = session.scalars(select(Mailing)).one()
    assert mailing.recipient_address == user.address
    assert nudges == [(queue.LAUNCH_ONE, mailing.id)]
    assert first.json() == {"delivery_id": f"{mailing.id}-1"}


def _schedule(**changed: object) -> dict[str, Any]:
    return {"kinds": ["weekly"], "hour": 7, "zone": "UTC", **changed}


def test_the_schedule_is_read_and_changed_by_its_version(api: TestClient) -> None:
    read = api.get(f"{HERE}/schedule")
    assert read.json() == _schedule()
    wanted = _schedule(kinds=["daily", "monthly"], hour=6, zone="Europe/Zurich")
    tag = {"If-Match": read.headers["ETag"]}
    changed = api.put(f"{HERE}/schedule", json=wanted, headers=tag)
    assert (changed.status_code, changed.json()) == (200, wanted)
    assert api.put(f"{HERE}/schedule", json=_schedule(), headers=tag).status_code == 412
    assert api.get(f"{HERE}/schedule").json() == wanted


@pytest.mark.parametrize(("field", "value"), [("hour", 24), ("zone", "Mars/Base"), ("kinds", ["yearly"])])
def test_a_schedule_that_cannot_be_kept_is_refused(api: TestClient, field: str, value: object) -> None:
    answer = api.put(f"{HERE}/schedule", json=_schedule(**{field: value}))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith(field)


def test_only_administrators_change_the_schedule(api: TestClient, user: User, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        session.get_one(User, user.id).role = Role.MEMBER
    assert api.put(f"{HERE}/schedule", json=_schedule()).status_code == 403
    assert api.get(f"{HERE}/mail").json() == {"is_mailed": False}
    assert api.put(f"{HERE}/mail", json={"is_mailed": True}).json() == {"is_mailed": True}
    assert api.get(f"{HERE}/mail").json() == {"is_mailed": True}
