"""Makes a report, as a task: first its figures are frozen, then it is mailed to whoever wants it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from email_campaign.accounts.users import User, report_readers
from email_campaign.campaigns.mailings import Mailing
from email_campaign.campaigns.system_mail import send_letter
from email_campaign.content.attachments import Attachment, File, keep
from email_campaign.reports.scheduled import words
from email_campaign.reports.scheduled.collect import collect
from email_campaign.reports.scheduled.figures import Figures
from email_campaign.reports.scheduled.pdf import MEDIA_TYPE, file_name, render
from email_campaign.reports.scheduled.report import Report, figures_of
from email_campaign.settings import Settings
from email_campaign.tasks.running import Handler, Step
from email_campaign.tasks.tasks import Task, TaskState

LETTER = "report"


def mail_to(session: Session, report: Report, user: User, settings: Settings, now: datetime) -> Mailing:
    """The report by mail to one user, for the caller to commit and to nudge. Raises Conflict while it is being made."""
    figures = figures_of(report)
    return _mail(session, report, figures, _attach(session, report, figures, settings), user, settings, now)


def _step(session: Session, task: Task, settings: Settings, now: datetime) -> Step:
    """Figures and mails are a step each: what was frozen stays, if the mail cannot be made."""
    # Under its lock: whoever asks for the mail meanwhile finds this task at work, or else over.
    report = session.get_one(Report, task.subject_id, with_for_update=True)
    if report.made_at is None:
        report.figures, report.made_at = collect(session, report.period, now).to_json(), now
    elif report.is_to_be_mailed:
        _mail_to_all(session, report, settings, now)
    session.flush()
    return Step({}, task.done_count + 1, more=report.is_to_be_mailed)


def _close(session: Session, task: Task, settings: Settings, now: datetime) -> Mapping[str, Any]:  # noqa: ARG001 – a handler's shape
    report = session.get(Report, task.subject_id)
    return {"mails": report.mail_count} if report is not None and task.state is TaskState.SUCCEEDED else {}


def _mail_to_all(session: Session, report: Report, settings: Settings, now: datetime) -> None:
    figures, readers = figures_of(report), report_readers(session)
    attachment = _attach(session, report, figures, settings)
    for user in readers:
        _mail(session, report, figures, attachment, user, settings, now)
    report.mailed_at, report.mail_count = now, len(readers)


def _attach(session: Session, report: Report, figures: Figures, settings: Settings) -> Attachment:
    return keep(session, File(file_name(report), MEDIA_TYPE, render(report, figures, settings.public_url)))


def _mail(
    session: Session,
    report: Report,
    figures: Figures,
    attachment: Attachment,
    user: User,
    settings: Settings,
    now: datetime,
) -> Mailing:
    rows = [{"label": one.label, "now": one.now, "before": one.before} for one in words.compared(figures)]
    said = {
        "report": report.title,
        "report_id": report.id,
        "period": report.period.words,
        "as_of": f"{words.local_time(figures.as_of, report.zone)} ({report.zone})",
        "headline": words.headline(figures.now),
        "trouble": words.trouble(figures),
        "rows": rows,
    }
    return send_letter(session, user, LETTER, settings, now, said, [attachment])


REPORT_HANDLER = Handler(step=_step, close=_close)
"""For tasks of the kind `report`; `subject_id` is the report's id."""
