"""API: what is done with a written campaign: tests, schedule, launch, pause, limit, retry, and its timeline."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from email_campaign import queue
from email_campaign.address import BadAddress, normalise
from email_campaign.audience.contacts import Contact
from email_campaign.campaigns import campaigns, launching
from email_campaign.campaigns.campaigns import draft_of
from email_campaign.campaigns.launching import Recipient
from email_campaign.campaigns.mailings import MailingEvent
from email_campaign.delivery import holds
from email_campaign.delivery.preview import preview_campaign, recipient_of, rehearse, sample_recipient
from email_campaign.delivery.retry_by_hand import Retryable, retry
from email_campaign.errors import Invalid
from email_campaign.reports.queries import timeline_of
from email_campaign.web import written
from email_campaign.web.api.campaigns import CampaignOut, RowId
from email_campaign.web.api.limits import LimitSpecs, read_limits
from email_campaign.web.deps import ApiUser, FactoryDep, NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.etags import TAGGED, IfMatchDep
from email_campaign.web.idempotency import OnceDep
from email_campaign.web.paging import Page, PageDep, read_page

router = APIRouter(prefix="/campaigns/{campaign_id}", tags=["campaigns"])


class TestMailIn(BaseModel):
    """Where a test goes, and whose name and attributes stand in it."""

    model_config = ConfigDict(extra="forbid")

    address: Annotated[str, Field(examples=["ada@example.com"])]
    contact_id: Annotated[RowId | None, Field(description="Somebody of the audience if left out.")] = None


class TestMailOut(BaseModel):
    """A test that is on its way."""

    mailing_id: int
    delivery_id: Annotated[str, Field(description="For GET /deliveries/{id}, in a moment.", examples=["12-1"])]


class ScheduleIn(BaseModel):
    """When the campaign launches by itself."""

    model_config = ConfigDict(extra="forbid")

    scheduled_at: Annotated[datetime, Field(description="With its zone.", examples=["2030-01-31T09:00:00+01:00"])]


class LimitsIn(BaseModel):
    """How fast the campaign may go."""

    model_config = ConfigDict(extra="forbid")

    limits: LimitSpecs


class RetryIn(BaseModel):
    """Which copies are tried again."""

    model_config = ConfigDict(extra="forbid")

    state: Retryable


class RetriedOut(BaseModel):
    """How many copies are tried again; at most 100,000 at once, the rest by asking again."""

    count: int


class EventOut(BaseModel):
    """A line of the timeline."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    actor: Annotated[str, Field(description="Who did it: a user, `system` or `schedule`.", examples=["Ada"])]
    kind: Annotated[str, Field(examples=["paused"])]
    detail: str


def _rehearsed(
    session: SessionDep, factory: FactoryDep, settings: SettingsDep, _user: ApiUser, campaign_id: PathId
) -> None:
    """Try the words out before the launch's transaction begins: no connection waits idle for the trial's process."""
    session.commit()
    rehearse(factory, campaign_id, settings)


@router.post("/test", status_code=202)
def send_test_mail(
    session: SessionDep,
    user: ApiUser,
    settings: SettingsDep,
    now: NowDep,
    once: OnceDep,
    campaign_id: PathId,
    wanted: TestMailIn,
) -> TestMailOut:
    """Send one copy to an address, through the same ledger and log as every other mail."""
    try:
        address = normalise(wanted.address)
    except BadAddress as error:
        raise Invalid.field("address", str(error)) from error
    campaign = campaigns.get(session, campaign_id)
    if wanted.contact_id is None:
        variables = dict(sample_recipient(session, campaign.mailing.list_ids))
    else:
        contact = session.get(Contact, wanted.contact_id)
        if contact is None:
            raise Invalid.field("contact_id", f"There is no contact {wanted.contact_id}.")
        variables = recipient_of(contact)
    variables["address"] = address
    preview_campaign(session, campaign, variables, settings, now)  # what cannot be rendered is said here, not in a log
    mailing = launching.send_test(session, campaign, Recipient(address, variables), actor=user.name, now=now)
    answer = TestMailOut(mailing_id=mailing.id, delivery_id=f"{mailing.id}-1")
    once.keep(202, answer)
    session.commit()
    queue.nudge(queue.LAUNCH_ONE, mailing.id)
    return answer


@router.post("/schedule")
def schedule_campaign(
    session: SessionDep, user: ApiUser, now: NowDep, campaign_id: PathId, wanted: ScheduleIn
) -> CampaignOut:
    """Launch it by itself at a time; given again, the new time holds."""
    campaign = campaigns.schedule(session, campaign_id, wanted.scheduled_at, actor=user.name, now=now)
    session.commit()
    return CampaignOut.read(session, campaign, now)


@router.post("/unschedule")
def unschedule_campaign(session: SessionDep, user: ApiUser, now: NowDep, campaign_id: PathId) -> CampaignOut:
    """Back to a draft, also after a due launch was refused."""
    campaign = campaigns.unschedule(session, campaign_id, actor=user.name)
    session.commit()
    return CampaignOut.read(session, campaign, now)


# The trial stands before `once`, whose key is locked in the transaction that the launch is carried out in.
@router.post("/launch", status_code=202, dependencies=[Depends(_rehearsed)])
def launch_campaign(session: SessionDep, user: ApiUser, now: NowDep, once: OnceDep, campaign_id: PathId) -> CampaignOut:
    """Send now. Words and audience are those of this moment; what is missing is named. A second launch is a 409."""
    campaign = launching.launch(session, campaign_id, actor=user.name, now=now)
    session.flush()
    answer = CampaignOut.read(session, campaign, now)
    once.keep(202, answer)
    session.commit()
    queue.nudge(queue.LAUNCH, campaign_id)
    return answer


@router.post("/pause")
def pause_campaign(session: SessionDep, user: ApiUser, now: NowDep, campaign_id: PathId) -> CampaignOut:
    """Once this is answered no copy begins; one a connection may still be on its way."""
    campaign = campaigns.pause(session, campaign_id, actor=user.name)
    session.commit()
    return CampaignOut.read(session, campaign, now)


@router.post("/resume")
def resume_campaign(session: SessionDep, user: ApiUser, now: NowDep, campaign_id: PathId) -> CampaignOut:
    """Go on where it was paused."""
    campaign = campaigns.resume(session, campaign_id, actor=user.name)
    session.commit()
    queue.nudge(queue.DISPATCH)
    return CampaignOut.read(session, campaign, now)


@router.post("/cancel")
def cancel_campaign(session: SessionDep, user: ApiUser, now: NowDep, campaign_id: PathId) -> CampaignOut:
    """For good: what has not gone out does not go out. The counts follow within seconds."""
    campaign = campaigns.cancel(session, campaign_id, actor=user.name)
    session.commit()
    queue.nudge(queue.SWEEP)
    return CampaignOut.read(session, campaign, now)


@router.post("/retry", status_code=202)
def retry_copies(
    session: SessionDep, user: ApiUser, now: NowDep, once: OnceDep, campaign_id: PathId, wanted: RetryIn
) -> RetriedOut:
    """Try the rejected or deferred copies again now. Opens a finished campaign again."""
    campaigns.get(session, campaign_id)
    answer = RetriedOut(count=retry(session, campaign_id, wanted.state, actor=user.name, now=now))
    once.keep(202, answer)
    session.commit()
    queue.nudge(queue.DISPATCH)
    return answer


@router.patch("/limits", responses=TAGGED)
def change_campaign_limits(
    session: SessionDep, now: NowDep, if_match: IfMatchDep, campaign_id: PathId, wanted: LimitsIn
) -> CampaignOut:
    """How fast it may go; holds within a second, also while it is sending."""
    if_match.check(written.campaign(draft_of(campaigns.get_locked(session, campaign_id))))
    campaign = campaigns.change_limits(session, campaign_id, read_limits(wanted.limits))
    holds.release(session, "limit", campaign_id)
    session.commit()
    if_match.answer(written.campaign(draft_of(campaign)))
    queue.nudge(queue.DISPATCH)
    return CampaignOut.read(session, campaign, now)


@router.get("/events")
def list_events(session: SessionDep, page: PageDep, campaign_id: PathId) -> Page[EventOut]:
    """Who did what with the campaign, the newest first."""
    campaigns.get(session, campaign_id)
    rows = read_page(session, timeline_of(campaign_id), [MailingEvent.id], page)
    return Page(items=[EventOut.model_validate(event) for event in rows.items], next=rows.next)
