"""A report from its task to the wire: frozen once, mailed to whoever wants it, with the PDF that the page has too."""

import email
import io
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import default

import pytest
from pypdf import PdfReader
from sqlalchemy import select, text

from email_campaign.accounts.users import Role, User, choose_reports, disable
from email_campaign.campaigns.mailings import Mailing, MailingKind, MailingState
from email_campaign.clock import utc_now
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.reports.scheduled import pdf
from email_campaign.reports.scheduled.making import REPORT_HANDLER, mail_to
from email_campaign.reports.scheduled.periods import ReportKind, last_over
from email_campaign.reports.scheduled.report import TASK_KIND, Report, ask_for, figures_of
from email_campaign.tasks import running
from email_campaign.tasks.tasks import Task, TaskState
from tests import factories
from tests.delivery.conftest import Engine


def _ask(engine_room: Engine, *, is_mailed: bool = True) -> int:
    now = utc_now()
    with engine_room.factory.begin() as session:
        period = last_over(ReportKind.WEEKLY, "UTC", now)
        campaign = factories.make_campaign(session, name="Spring <b>", state=MailingState.FINISHED)
        campaign.mailing.launched_at = period.begins_at + timedelta(hours=1)
        for state in (DeliveryState.ACCEPTED, DeliveryState.ACCEPTED, DeliveryState.REJECTED):
            factories.make_delivery(session, campaign.mailing, state=state)
        task_id = ask_for(session, period, now, is_mailed=is_mailed).task_id
    assert task_id is not None
    return task_id


def _carry(engine_room: Engine, task_id: int) -> Task:
    while running.run(engine_room.factory, task_id, {TASK_KIND: REPORT_HANDLER}, engine_room.settings):
        pass
    with engine_room.factory() as session:
        return session.get_one(Task, task_id)


def _report(engine_room: Engine) -> Report:
    with engine_room.factory() as session:
        report = session.scalars(select(Report)).one()
        figures_of(report)
        return report


def _system_mails(engine_room: Engine) -> Sequence[int]:
    with engine_room.factory() as session:
        query = select(Mailing.id).where(Mailing.kind == MailingKind.SYSTEM).order_by(Mailing.id)
        return session.scalars(query).all()


def _send(engine_room: Engine, mailing_id: int) -> EmailMessage:
    assert engine_room.run(mailing_id) == {DeliveryState.ACCEPTED: 1}
    message = email.message_from_bytes(engine_room.relay.bodies[-1][1], policy=default)
    assert isinstance(message, EmailMessage)
    return message


def test_the_mail_has_the_headline_numbers_and_the_pdf(engine_room: Engine) -> None:
    with engine_room.factory.begin() as session:
        user = factories.make_user(session, name="Ada")
    task = _carry(engine_room, _ask(engine_room))
    assert (task.state, task.result, task.done_count, task.total_count) == (TaskState.SUCCEEDED, {"mails": 1}, 2, 2)
    (mailing_id,) = _system_mails(engine_room)
    message = _send(engine_room, mailing_id)
    report = _report(engine_room)
    assert message["To"] == f"Ada <{user.address}>"
    assert message["Subject"] == f"Weekly report, {report.period.words}"
    assert message.get_content_type() == "multipart/mixed"
    for kind in ("plain", "html"):
        part = message.get_body((kind,))
        assert part is not None
        assert "1 campaign launched, 3 copies: 2 accepted, 1 not reached." in part.get_content()
        assert f"{engine_room.settings.public_url}/admin/reports/{report.id}" in part.get_content()
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == pdf.file_name(report)
    assert attached.get_content_type() == "application/pdf"
    made = attached.get_content()
    assert made == pdf.render(report, figures_of(report), engine_room.settings.public_url)
    said = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(made)).pages)
    assert "Spring <b>" in said
    assert "3 2 1" in said  # audience, accepted, rejected


def test_administrators_get_it_unless_they_said_no_and_members_if_they_said_yes(engine_room: Engine) -> None:
    def make(name: str, role: Role, *, wanted: bool | None) -> User:
        user = factories.make_user(session, name=name, role=role)
        if wanted is not None:
            choose_reports(session, user.id, wanted=wanted)
        return user

    with engine_room.factory.begin() as session:
        readers = [make("Ada", Role.ADMIN, wanted=None), make("Bob", Role.MEMBER, wanted=True)]
        make("Cyd", Role.ADMIN, wanted=False)
        make("Dan", Role.MEMBER, wanted=None)
        disable(make("Eve", Role.ADMIN, wanted=True), now=utc_now())
    _carry(engine_room, _ask(engine_room))
    with engine_room.factory() as session:
        mailed = [session.get_one(Mailing, one).recipient_address for one in _system_mails(engine_room)]
    assert mailed == [user.address for user in readers]
    assert _report(engine_room).mail_count == 2
    with engine_room.factory() as session:  # one file, and one version of the words, for all of them
        assert session.scalar(text("SELECT count(*) FROM attachments")) == 1


def test_a_task_that_comes_twice_mails_once(engine_room: Engine) -> None:
    with engine_room.factory.begin() as session:
        factories.make_user(session)
    task_id = _ask(engine_room)
    _carry(engine_room, task_id)
    _carry(engine_room, task_id)
    assert len(_system_mails(engine_room)) == 1
    with engine_room.factory.begin() as session:
        again = ask_for(session, _report(engine_room).period, utc_now(), is_mailed=True)
    assert again.task_id is None


def test_what_was_frozen_stays_though_the_rows_move_on(engine_room: Engine) -> None:
    _carry(engine_room, _ask(engine_room, is_mailed=False))
    first = _report(engine_room)
    with engine_room.factory.begin() as session:
        session.execute(text("UPDATE counters SET count = count + 5"))
        session.execute(text("UPDATE campaigns SET name = 'Another'"))
    assert _report(engine_room).figures == first.figures
    assert not _system_mails(engine_room)


def test_a_mail_that_cannot_be_made_leaves_the_report_and_is_made_up_for(
    engine_room: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_room.factory.begin() as session:
        factories.make_user(session)
    task_id = _ask(engine_room)
    with monkeypatch.context() as broken:
        broken.setattr(pdf, "TEMPLATE", pdf.TEMPLATE.with_name("gone.typ"))
        task = _carry(engine_room, task_id)
    assert (task.state, task.done_count) == (TaskState.FAILED, 1)
    made_at: datetime | None = _report(engine_room).made_at
    assert made_at is not None
    assert not _system_mails(engine_room)
    with engine_room.factory.begin() as session:
        again = ask_for(session, _report(engine_room).period, utc_now())
    assert again.task_id is not None
    assert _carry(engine_room, again.task_id).state is TaskState.SUCCEEDED
    assert _report(engine_room).made_at == made_at
    assert len(_system_mails(engine_room)) == 1


def test_whoever_asks_gets_it_now_with_the_same_pdf(engine_room: Engine) -> None:
    _carry(engine_room, _ask(engine_room, is_mailed=False))
    with engine_room.factory.begin() as session:
        bob = factories.make_user(session, name="Bob", role=Role.MEMBER)
        report = session.scalars(select(Report)).one()
        mailing_id = mail_to(session, report, bob, engine_room.settings, utc_now()).id
    message = _send(engine_room, mailing_id)
    assert message["To"] == f"Bob <{bob.address}>"
    assert [one.get_content_type() for one in message.iter_attachments()] == ["application/pdf"]
    assert _report(engine_room).mailed_at is None  # asked for by one, which is not the schedule's mail
