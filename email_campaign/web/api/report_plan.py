"""API: when reports are made, and whether they are mailed to whoever asks."""

from typing import Annotated, Self

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from email_campaign.accounts.users import choose_reports, wants_reports
from email_campaign.reports.scheduled.periods import ReportKind
from email_campaign.reports.scheduled.schedules import Plan, choose_plan, plan_of
from email_campaign.web import written
from email_campaign.web.deps import AdminApiUser, ApiUser, NowDep, SessionDep
from email_campaign.web.etags import TAGGED, IfMatchDep, set_etag

router = APIRouter(prefix="/reports", tags=["reports"])


class PlanFields(BaseModel):
    """Which reports are made by themselves, and when."""

    model_config = ConfigDict(extra="forbid")

    kinds: Annotated[
        list[ReportKind], Field(max_length=len(ReportKind), description="None: no report is made by itself.")
    ]
    hour: Annotated[int, Field(ge=0, le=23, description="Of the first day behind a period.", examples=[7])]
    zone: Annotated[str, Field(max_length=60, description="Whose days these are.", examples=["Europe/Zurich"])]

    @classmethod
    def read(cls, plan: Plan) -> Self:
        """The plan as it is."""
        return cls(kinds=sorted(plan.kinds), hour=plan.hour, zone=plan.zone)


class MailFields(BaseModel):
    """Whether scheduled reports are mailed to you."""

    model_config = ConfigDict(extra="forbid")

    is_mailed: bool


@router.get("/schedule", responses=TAGGED)
def show_plan(session: SessionDep, response: Response) -> PlanFields:
    """When reports are made."""
    plan = plan_of(session)
    set_etag(response, written.report_plan(plan))
    return PlanFields.read(plan)


@router.put("/schedule", responses=TAGGED)
def change_plan(
    session: SessionDep, now: NowDep, _admin: AdminApiUser, if_match: IfMatchDep, wanted: PlanFields
) -> PlanFields:
    """Change when reports are made. One that is due already stays so."""
    if_match.check(written.report_plan(plan_of(session, lock=True)))
    plan = choose_plan(session, Plan(frozenset(wanted.kinds), wanted.hour, wanted.zone), now)
    session.commit()
    if_match.answer(written.report_plan(plan))
    return PlanFields.read(plan)


@router.get("/mail")
def show_mail(user: ApiUser) -> MailFields:
    """Whether scheduled reports are mailed to you. Administrators get them unless they say otherwise."""
    return MailFields(is_mailed=wants_reports(user))


@router.put("/mail")
def choose_mail(session: SessionDep, user: ApiUser, wanted: MailFields) -> MailFields:
    """Get scheduled reports by mail, or no more."""
    choose_reports(session, user.id, wanted=wanted.is_mailed)
    session.commit()
    return wanted
