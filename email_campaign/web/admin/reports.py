"""Pages: reports of days, weeks and months, when they are made, and who gets them by mail."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from zoneinfo import available_timezones

from fastapi import APIRouter, Query
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign import queue
from email_campaign.accounts.users import Role, User, choose_reports, wants_reports
from email_campaign.errors import Invalid
from email_campaign.reports.scheduled import report as reports
from email_campaign.reports.scheduled import words
from email_campaign.reports.scheduled.making import mail_to
from email_campaign.reports.scheduled.periods import ReportKind, last_over
from email_campaign.reports.scheduled.report import Report
from email_campaign.reports.scheduled.schedules import Plan, choose_plan, next_reports, plan_of
from email_campaign.tasks import tasks
from email_campaign.tasks.tasks import Task, TaskState
from email_campaign.web import written
from email_campaign.web.admin.fields import read_whole
from email_campaign.web.admin.listing import read_listing
from email_campaign.web.collisions import Sides, collide, show_collision
from email_campaign.web.deps import AdminPageUser, NowDep, PageUser, PathId, SessionDep, SettingsDep
from email_campaign.web.downloads import report_pdf
from email_campaign.web.forms import Form, FormDep
from email_campaign.web.pages import redirect, refuse_form, render
from email_campaign.web.paging import PageDep, PageParams
from email_campaign.web.retrying import can_retry

HERE = "/admin/reports"
LIST = "admin/reports/list.html"
ONE = "admin/reports/report.html"
WHEN: Mapping[ReportKind, tuple[str, str]] = {
    ReportKind.DAILY: ("Daily", "each morning, of the day before"),
    ReportKind.WEEKLY: ("Weekly", "on Mondays, of the week before"),
    ReportKind.MONTHLY: ("Monthly", "on the first, of the month before"),
}

router = APIRouter(prefix="/reports")


@router.get("")
def list_reports(
    request: Request,
    session: SessionDep,
    user: PageUser,
    page: PageDep,
    kind: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """What there is, when more comes, and who gets it."""
    values = _plan_values(plan_of(session))
    context = _context(request, session, user, page, kind)
    return render(request, LIST, values=values, errors={}, form_error="", **context)


@router.post("")
def make_report(request: Request, session: SessionDep, user: PageUser, form: FormDep, now: NowDep) -> Response:
    """Make the report of the last period of a kind that is over."""
    kind = next((one for one in ReportKind if one == form["kind"]), ReportKind.WEEKLY)
    asked = reports.ask_for(session, last_over(kind, plan_of(session).zone, now), now, created_by=user.id)
    session.commit()
    if asked.task_id is not None:
        queue.nudge(queue.HOP, asked.task_id)
    return redirect(request, f"{HERE}/{asked.report.id}")


@router.post("/schedule")
def change_plan(
    request: Request, session: SessionDep, user: AdminPageUser, form: FormDep, page: PageDep, now: NowDep
) -> Response:
    """Change when reports are made."""
    try:
        theirs = written.report_plan(plan_of(session, lock=True))
        plan = choose_plan(session, _read_plan(form), now)
        if collision := collide(form["version"], theirs, written.report_plan(plan)):
            session.rollback()
            sides = Sides(theirs, _typed(form), _told(theirs))
            return show_collision(request, LIST, collision, sides, **_context(request, session, user, page, ""))
    except Invalid as error:
        session.rollback()
        return refuse_form(request, LIST, form, error, **_context(request, session, user, page, ""))
    session.commit()
    return redirect(request, HERE, "Saved.")


@router.post("/mail")
def choose_mail(request: Request, session: SessionDep, user: PageUser, form: FormDep) -> Response:
    """Get reports by mail, or no more."""
    wanted = form["wanted"] == "yes"
    choose_reports(session, user.id, wanted=wanted)
    session.commit()
    said = "You get the next report by mail." if wanted else "You get no more reports by mail."
    return redirect(request, HERE, said)


@router.get("/{report_id}")
def show_report(request: Request, session: SessionDep, report_id: PathId, now: NowDep) -> Response:
    """One report, or how far it is."""
    report = reports.get_report(session, report_id)
    task = session.get(Task, report.task_id) if report.task_id else None
    return render(
        request,
        ONE,
        report=report,
        period=report.period,
        figures=None if report.made_at is None else reports.figures_of(report),
        task=task,
        pace=tasks.pace(task, now) if task else None,
        can_retry=task is not None and can_retry(task),
        is_open=task is not None and task.finished_at is None,
        words=words,
    )


@router.get("/{report_id}/pdf")
def download_pdf(session: SessionDep, settings: SettingsDep, report_id: PathId) -> Response:
    """The report as a file."""
    return report_pdf(reports.get_report(session, report_id), settings)


@router.post("/{report_id}/send")
def send_report(
    request: Request, session: SessionDep, settings: SettingsDep, user: PageUser, report_id: PathId, now: NowDep
) -> Response:
    """Mail it to whoever asks."""
    mailing = mail_to(session, reports.get_report(session, report_id), user, settings, now)
    session.commit()
    queue.nudge(queue.LAUNCH_ONE, mailing.id)
    return redirect(request, f"{HERE}/{report_id}", f"It is on its way to {user.address}.")


def _context(request: Request, session: Session, user: User, page: PageParams, kind: str) -> dict[str, Any]:
    chosen = next((one for one in ReportKind if one == kind), None)
    listing = read_listing(request, session, reports.all_reports(chosen), [Report.id], page, is_filtered=bool(chosen))
    return {
        "listing": listing,
        "states": _states(session, listing.items),
        "kinds": WHEN,
        "kind": chosen or "",
        "plan": plan_of(session),
        "next": next_reports(session),
        "is_admin": user.role is Role.ADMIN,
        "is_mailed": wants_reports(user),
        "zones": sorted(available_timezones()),
    }


def _states(session: Session, listed: Sequence[Report]) -> dict[int, TaskState]:
    """How the tasks of those that are not made yet stand, by report."""
    waiting = {one.task_id: one.id for one in listed if one.made_at is None and one.task_id is not None}
    rows = session.execute(select(Task.id, Task.state).where(Task.id.in_(waiting)))
    return {waiting[task_id]: state for task_id, state in rows}


def _read_plan(form: Form) -> Plan:
    kinds = frozenset(ReportKind(one) for one in form.all("kinds") if one in list(ReportKind))
    hour = read_whole(form, "hour", -1)
    return Plan(kinds, hour, form["zone"])


def _plan_values(plan: Plan) -> dict[str, Any]:
    fields = written.report_plan(plan)
    return {**fields, "version": written.version_of(fields)}


def _typed(form: Form) -> dict[str, Any]:
    return {"kinds": form.all("kinds"), "hour": form["hour"], "zone": form["zone"]}


def _told(plan: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return {
        "kinds": ("Reports", ", ".join(plan["kinds"])),
        "hour": ("At", f"{plan['hour']:02}:00"),
        "zone": ("Time zone", plan["zone"]),
    }
