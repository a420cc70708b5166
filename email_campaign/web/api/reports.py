"""API: reports of days, weeks and months: what they say, as JSON and PDF, made by hand, and by mail to whoever asks."""

from datetime import date, datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from email_campaign import queue
from email_campaign.reports.scheduled import report as reports
from email_campaign.reports.scheduled.figures import Figures
from email_campaign.reports.scheduled.making import mail_to
from email_campaign.reports.scheduled.periods import ReportKind, last_over
from email_campaign.reports.scheduled.report import Report
from email_campaign.reports.scheduled.schedules import plan_of
from email_campaign.web.deps import ApiUser, NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.downloads import PdfResponse, report_pdf
from email_campaign.web.idempotency import OnceDep
from email_campaign.web.paging import Page, PageDep, read_page

router = APIRouter(prefix="/reports", tags=["reports"])

PDF_RESPONSE: dict[int | str, dict[str, Any]] = {200: {"description": "The report as a PDF."}}


class ReportOut(BaseModel):
    """A report and its period."""

    id: int
    kind: ReportKind
    period: Annotated[str, Field(examples=["16–22 November 2026"])]
    first_day: date
    last_day: date
    zone: Annotated[str, Field(examples=["Europe/Zurich"])]
    begins_at: datetime
    ends_at: datetime = Field(description="The first moment that is no more of it.")
    made_at: datetime | None = Field(description="Null until its task has made it.")
    task_id: int | None = Field(description="The task that makes and mails it.")
    mailed_at: datetime | None
    mail_count: int = Field(description="To how many users it was mailed.")

    @classmethod
    def fields(cls, report: Report) -> dict[str, Any]:
        """What every answer says of a report."""
        period = report.period
        return {
            "id": report.id,
            "kind": report.kind,
            "period": period.words,
            "first_day": period.first_day,
            "last_day": period.last_day,
            "zone": report.zone,
            "begins_at": period.begins_at,
            "ends_at": period.ends_at,
            "made_at": report.made_at,
            "task_id": report.task_id,
            "mailed_at": report.mailed_at,
            "mail_count": report.mail_count,
        }


class WholeReportOut(ReportOut):
    """A report with all that it says."""

    figures: Figures | None = Field(description="As they were frozen when it was made; null until then.")

    @classmethod
    def read(cls, report: Report) -> Self:
        """The whole row."""
        figures = None if report.figures is None else reports.figures_of(report)
        return cls(**cls.fields(report), figures=figures)


class ReportIn(BaseModel):
    """Which report is to be made: of the last day, week or month that is over, in the zone of the schedule."""

    model_config = ConfigDict(extra="forbid")

    kind: ReportKind


class SentOut(BaseModel):
    """The mail that is on its way."""

    delivery_id: Annotated[str, Field(examples=["81-1"])]


@router.get("")
def list_reports(session: SessionDep, page: PageDep, kind: ReportKind | None = None) -> Page[ReportOut]:
    """Reports, the newest first."""
    rows = read_page(session, reports.all_reports(kind), [Report.id], page)
    return Page(items=[ReportOut(**ReportOut.fields(one)) for one in rows.items], next=rows.next)


@router.post("", status_code=202)
def make_report(session: SessionDep, user: ApiUser, now: NowDep, once: OnceDep, wanted: ReportIn) -> ReportOut:
    """Make the report of the last period that is over; one that is made already is the answer. Nobody is mailed."""
    period = last_over(wanted.kind, plan_of(session).zone, now)
    asked = reports.ask_for(session, period, now, created_by=user.id)
    answer = ReportOut(**ReportOut.fields(asked.report))
    once.keep(202, answer)
    session.commit()
    if asked.task_id is not None:
        queue.nudge(queue.HOP, asked.task_id)
    return answer


@router.get("/{report_id}")
def show_report(session: SessionDep, report_id: PathId) -> WholeReportOut:
    """What a report says."""
    return WholeReportOut.read(reports.get_report(session, report_id))


@router.get("/{report_id}/pdf", response_class=PdfResponse, responses=PDF_RESPONSE)
def download_pdf(session: SessionDep, settings: SettingsDep, report_id: PathId) -> PdfResponse:
    """The report as a PDF: the same at every time, since it is made of what was frozen. 409 until it is made."""
    return report_pdf(reports.get_report(session, report_id), settings)


@router.post("/{report_id}/send", status_code=202)
def send_report(
    session: SessionDep, settings: SettingsDep, user: ApiUser, now: NowDep, once: OnceDep, report_id: PathId
) -> SentOut:
    """Mail the report to yourself now. 409 until it is made."""
    mailing = mail_to(session, reports.get_report(session, report_id), user, settings, now)
    answer = SentOut(delivery_id=f"{mailing.id}-1")
    once.keep(202, answer)
    session.commit()
    queue.nudge(queue.LAUNCH_ONE, mailing.id)
    return answer
