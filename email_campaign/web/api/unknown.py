"""API: unknown copies: which they are, what somebody found out about them, and what happens with them by itself."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from email_campaign import queue
from email_campaign.campaigns import campaigns
from email_campaign.campaigns.campaigns import draft_of
from email_campaign.campaigns.mailings import UnknownPolicy
from email_campaign.delivery.compose import derive_message_id
from email_campaign.delivery.deliveries import Delivery
from email_campaign.delivery.orders import derive_keys
from email_campaign.delivery.unknown import Decision, Resolution, resolve_copies
from email_campaign.delivery.unknown_policy import change_policy
from email_campaign.delivery.unknown_task import resolve_all
from email_campaign.errors import Invalid
from email_campaign.reports import queries
from email_campaign.reports.unknown import UnknownCopy, read_unknown, unknown_counts, unknown_of
from email_campaign.web import written
from email_campaign.web.api.campaigns import CampaignOut
from email_campaign.web.api.deliveries import DeliveryRow, row_fields
from email_campaign.web.deps import ApiUser, NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.etags import TAGGED, IfMatchDep
from email_campaign.web.idempotency import OnceDep
from email_campaign.web.paging import MAX_LIMIT, Page, PageDep, read_page

router = APIRouter(tags=["unknown copies"])

Said = Annotated[
    Resolution,
    Field(
        description="`accepted`: the relay has it. `rejected`: it was not delivered. `resend`: send it again with the "
        "same Message-ID; whoever has it already gets it twice."
    ),
]


class UnknownRow(DeliveryRow):
    """A copy of which nobody can say whether the relay took it (RFC 1047)."""

    campaign_id: int | None = Field(description="The campaign that it belongs to, also for a test.")
    campaign_name: str
    message_id: Annotated[str, Field(description="To search for in the relay's log.", examples=["<5f1c…@example.com>"])]
    phase: Annotated[str | None, Field(description="The step of the last attempt.", examples=["body"])]
    reply: Annotated[str | None, Field(description="What was said about it.", examples=["connection lost"])]


class ResolveIn(BaseModel):
    """What somebody found out about these copies."""

    model_config = ConfigDict(extra="forbid")

    resolution: Said
    delivery_ids: Annotated[list[str], Field(min_length=1, max_length=MAX_LIMIT, examples=[["7-1204", "7-1311"]])]


class ResolveAllIn(BaseModel):
    """What somebody found out about all unknown copies of a campaign."""

    model_config = ConfigDict(extra="forbid")

    resolution: Said
    until: Annotated[
        datetime | None,
        Field(description="Only what was unknown at this time, with its zone; now if left out."),
    ] = None


class ResolvedOut(BaseModel):
    """How many copies were resolved: those that are not unknown (any more) are left alone."""

    count: int


class ResolvedAllOut(ResolvedOut):
    """More than 2,000 copies are resolved by a task."""

    task_id: int | None = Field(description="For GET /tasks/{id}; null where it is done.")


class PolicyIn(BaseModel):
    """What happens by itself with a copy that becomes unknown."""

    model_config = ConfigDict(extra="forbid")

    unknown_policy: Annotated[
        UnknownPolicy, Field(description="`hold` until somebody decides, or `resend` once with the same Message-ID.")
    ]


@router.get("/unknown")
def list_unknown(session: SessionDep, settings: SettingsDep, page: PageDep) -> Page[UnknownRow]:
    """Every unknown copy, the newest campaign first."""
    everywhere = unknown_of(unknown_counts(session))
    rows = read_page(session, everywhere, [Delivery.mailing_id, Delivery.position], page)
    key = derive_keys(settings).message_id
    return Page(items=[_row(one, key) for one in read_unknown(session, rows.items)], next=rows.next)


@router.get("/campaigns/{campaign_id}/unknown")
def list_unknown_of_campaign(
    session: SessionDep, settings: SettingsDep, page: PageDep, campaign_id: PathId
) -> Page[UnknownRow]:
    """The campaign's unknown copies, each with the Message-ID to search for in the relay's log."""
    campaigns.get(session, campaign_id)
    rows = read_page(session, unknown_of([campaign_id]), [Delivery.position], page, ascending=True)
    key = derive_keys(settings).message_id
    return Page(items=[_row(one, key) for one in read_unknown(session, rows.items)], next=rows.next)


@router.post("/unknown/resolve")
def resolve_unknown(session: SessionDep, user: ApiUser, now: NowDep, once: OnceDep, wanted: ResolveIn) -> ResolvedOut:
    """Say what became of unknown copies, or send them again. A copy that is not unknown (any more) is left alone.

    Each gets an attempt of the phase `hand` in its log. A resend opens a finished campaign again; 409 for one of a
    campaign that is cancelled.
    """
    keys = [queries.parse_delivery_id(delivery_id) for delivery_id in wanted.delivery_ids]
    answer = ResolvedOut(count=resolve_copies(session, keys, Decision(wanted.resolution, user.name, now), now))
    once.keep(200, answer)
    session.commit()
    if wanted.resolution is Resolution.RESEND:
        queue.nudge(queue.DISPATCH)
    return answer


@router.post("/campaigns/{campaign_id}/unknown/resolve", status_code=202)
def resolve_unknown_of_campaign(
    session: SessionDep, user: ApiUser, now: NowDep, once: OnceDep, campaign_id: PathId, wanted: ResolveAllIn
) -> ResolvedAllOut:
    """Say the same of every copy of the campaign that was unknown at `until`. Many are resolved by a task.

    409 while such a task is going on, and for a resend of a campaign that is cancelled.
    """
    campaigns.get(session, campaign_id)
    decision = Decision(wanted.resolution, user.name, _moment(wanted.until, now))
    begun = resolve_all(session, campaign_id, decision, created_by=user.id, now=now)
    answer = ResolvedAllOut(count=begun.count, task_id=begun.task.id if begun.task else None)
    once.keep(202, answer)
    session.commit()
    if begun.task:
        queue.nudge(queue.HOP, begun.task.id)
    elif wanted.resolution is Resolution.RESEND:
        queue.nudge(queue.DISPATCH)
    return answer


@router.patch("/campaigns/{campaign_id}/unknown", responses=TAGGED)
def change_unknown_policy(
    session: SessionDep, user: ApiUser, now: NowDep, if_match: IfMatchDep, campaign_id: PathId, wanted: PolicyIn
) -> CampaignOut:
    """Hold unknown copies or send them again, once; also while the campaign is sending, and after it.

    `resend` is for those that are unknown already, too, and opens a finished campaign again; `hold` takes back what was
    not handed out yet. 409 for a campaign that is cancelled.
    """
    campaign = campaigns.get_locked(session, campaign_id)
    if_match.check(written.campaign(draft_of(campaign)))
    change_policy(session, campaign_id, wanted.unknown_policy, actor=user.name)
    session.commit()
    if_match.answer(written.campaign(draft_of(campaign)))
    queue.nudge(queue.SWEEP)
    return CampaignOut.read(session, campaign, now)


def _moment(until: datetime | None, now: datetime) -> datetime:
    if until is None:
        return now
    if until.tzinfo is None:
        raise Invalid.field("until", "Give the time with its zone, such as 2030-01-31T09:00:00+01:00.")
    return until


def _row(one: UnknownCopy, key: bytes) -> UnknownRow:
    delivery, mailing = one.copy.delivery, one.mailing
    return UnknownRow(
        **row_fields(one.copy),
        campaign_id=one.campaign.id if one.campaign else None,
        campaign_name=one.campaign.name if one.campaign else "",
        message_id=derive_message_id(key, delivery.mailing_id, delivery.position, mailing.from_address),
        phase=one.attempt.phase if one.attempt else None,
        reply=one.attempt.reply if one.attempt else None,
    )
