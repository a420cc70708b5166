"""The pages of reports."""

from datetime import timedelta

from sqlalchemy import select
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.accounts.users import Role, User, wants_reports
from email_campaign.campaigns.mailings import Mailing, MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.reports.scheduled.collect import collect
from email_campaign.reports.scheduled.periods import ReportKind, last_over
from email_campaign.reports.scheduled.report import Report, ask_for
from email_campaign.reports.scheduled.schedules import DEFAULT, Plan, plan_of
from email_campaign.tasks.tasks import Task, TaskState
from tests import factories

HERE = "/admin/reports"


def _made(factory: SessionFactory, *, name: str = "Spring") -> int:
    now = utc_now()
    with factory.begin() as session:
        period = last_over(ReportKind.WEEKLY, "UTC", now)
        campaign = factories.make_campaign(session, name=name, state=MailingState.FINISHED)
        campaign.mailing.launched_at = period.begins_at + timedelta(hours=1)
        for state, count in ((DeliveryState.ACCEPTED, 3), (DeliveryState.REJECTED, 2)):
            for _ in range(count):
                factories.make_delivery(session, campaign.mailing, state=state, reason="hard_bounce")
        asked = ask_for(session, period, now)
        task = session.get_one(Task, asked.task_id)
        task.state, task.finished_at = TaskState.SUCCEEDED, now
        asked.report.figures, asked.report.made_at = collect(session, period, now).to_json(), now
        return asked.report.id


def test_without_a_report_the_page_says_when_the_first_one_comes(signed_in: TestClient) -> None:
    page = signed_in.get(HERE).text
    assert "No report yet" in page
    assert "within a minute" in page


def test_a_report_is_listed_and_shows_its_sums(signed_in: TestClient, session_factory: SessionFactory) -> None:
    report_id = _made(session_factory, name="<i>Spring</i>")
    listed = signed_in.get(HERE).text
    assert f'href="{HERE}/{report_id}"' in listed
    assert f'href="{HERE}/{report_id}/pdf"' in listed
    page = signed_in.get(f"{HERE}/{report_id}").text
    assert "1 campaign launched, 5 copies: 3 accepted, 2 not reached." in page
    assert "&lt;i&gt;Spring&lt;/i&gt;" in page
    assert "<i>Spring" not in page
    assert "= 3 accepted + 2 rejected" in page
    assert "No such address" in page
    assert 'role="img"' in page  # the chart


def test_the_pdf_is_the_report_as_a_file(signed_in: TestClient, session_factory: SessionFactory) -> None:
    file = signed_in.get(f"{HERE}/{_made(session_factory)}/pdf")
    assert file.headers["Content-Type"] == "application/pdf"
    assert file.content.startswith(b"%PDF-")


def test_a_report_is_made_by_hand_and_shows_how_far_it_is(
    signed_in: TestClient, session_factory: SessionFactory, nudges: list[tuple[object, ...]]
) -> None:
    answer = signed_in.post(HERE, data={"kind": "monthly"})
    with session_factory() as session:
        report = session.scalars(select(Report)).one()
    assert answer.headers["Location"] == f"{HERE}/{report.id}"
    assert nudges == [(queue.HOP, report.task_id)]
    page = signed_in.get(answer.headers["Location"]).text
    assert f"/admin/tasks/{report.task_id}/live" in page
    assert "Monthly report" in page


def test_a_report_that_failed_is_tried_again_from_its_page(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    signed_in.post(HERE, data={"kind": "daily"})
    with session_factory.begin() as session:
        task = session.scalars(select(Task)).one()
        task.state, task.finished_at, task.error = TaskState.FAILED, utc_now(), "No space left."
    report_page = f"{HERE}/{task.subject_id}"
    page = signed_in.get(report_page).text
    assert "No space left." in page
    assert f"/admin/tasks/{task.id}/retry" in page
    again = signed_in.post(f"/admin/tasks/{task.id}/retry")
    assert again.headers["Location"] == report_page
    with session_factory() as session:
        assert session.scalars(select(Task.state).order_by(Task.id)).all() == [TaskState.FAILED, TaskState.WAITING]


def test_it_is_mailed_to_whoever_asks(
    signed_in: TestClient, session_factory: SessionFactory, user: User, nudges: list[tuple[object, ...]]
) -> None:
    report_id = _made(session_factory)
    answer = signed_in.post(f"{HERE}/{report_id}/send")
    assert answer.status_code == 303
    with session_factory() as session:
        mailing = session.scalars(select(Mailing).where(Mailing.recipient_address.is_not(None))).one()
    assert mailing.recipient_address == user.address
    assert (queue.LAUNCH_ONE, mailing.id) in nudges


def test_the_schedule_is_saved_and_what_is_wrong_comes_back_filled(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    wrong = signed_in.post(f"{HERE}/schedule", data={"kinds": ["daily"], "hour": "9", "zone": "Mars/Base"})
    assert wrong.status_code == 422
    assert 'value="Mars/Base"' in wrong.text
    assert 'id="f-zone-error"' in wrong.text
    with session_factory() as session:
        assert plan_of(session) == DEFAULT
    saved = signed_in.post(
        f"{HERE}/schedule", data={"kinds": ["daily", "weekly"], "hour": "9", "zone": "Europe/Zurich"}
    )
    assert saved.status_code == 303
    with session_factory() as session:
        plan = plan_of(session)
    assert plan == Plan(frozenset({ReportKind.DAILY, ReportKind.WEEKLY}), 9, "Europe/Zurich")
    assert "09:00" in signed_in.get(HERE).text


def test_of_two_who_save_the_schedule_the_second_sees_what_the_first_saved(signed_in: TestClient) -> None:
    page = signed_in.get(HERE).text
    version = page.split('name="version" value="')[1].split('"')[0]
    form = {"kinds": ["weekly"], "hour": "7", "zone": "UTC", "version": version}
    assert signed_in.post(f"{HERE}/schedule", data=form | {"hour": "5"}).status_code == 303
    second = signed_in.post(f"{HERE}/schedule", data=form | {"zone": "Asia/Tokyo"})
    assert second.status_code == 409
    assert "05:00" in second.text
    assert 'value="Asia/Tokyo"' in second.text


def test_everybody_chooses_for_themselves_whether_reports_are_mailed(
    signed_in: TestClient, session_factory: SessionFactory, user: User
) -> None:
    for wanted, word in (("no", "Send them to me"), ("yes", "Send me no more")):
        assert signed_in.post(f"{HERE}/mail", data={"wanted": wanted}).status_code == 303
        with session_factory() as session:
            assert wants_reports(session.get_one(User, user.id)) == (wanted == "yes")
        assert word in signed_in.get(HERE).text


def test_a_member_sees_the_reports_and_does_not_change_when_they_are_made(
    signed_in: TestClient, session_factory: SessionFactory, user: User
) -> None:
    with session_factory.begin() as session:
        session.get_one(User, user.id).role = Role.MEMBER
    page = signed_in.get(HERE)
    assert page.status_code == 200
    assert "Save the schedule" not in page.text
    assert "You get no reports by mail." in page.text
    assert signed_in.post(f"{HERE}/schedule", data={"hour": "7", "zone": "UTC"}).status_code == 403
