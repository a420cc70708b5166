"""API: campaigns: written, read, copied."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from email_campaign.campaigns import campaigns, launching
from email_campaign.campaigns.campaigns import Campaign, Draft, draft_of
from email_campaign.campaigns.mailings import MailingState, UnknownPolicy
from email_campaign.content.attachments import attachments_of
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.reports.progress import progress
from email_campaign.reports.queries import counts_of
from email_campaign.settings import Settings
from email_campaign.web import written
from email_campaign.web.api.attachments import AttachmentOut
from email_campaign.web.api.limits import LimitSpec, LimitSpecs, read_limits
from email_campaign.web.deps import ApiUser, NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.etags import TAGGED, IfMatchDep, set_etag
from email_campaign.web.idempotency import OnceDep
from email_campaign.web.paging import MAX_BIGINT, Page, PageDep, read_page

router = APIRouter(prefix="/campaigns", tags=["campaigns"])

RowId = Annotated[int, Field(ge=1, le=MAX_BIGINT)]


class CampaignIn(BaseModel):
    """What people write. Only a name is needed until the campaign is launched."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(examples=["Spring news"])]
    from_address: Annotated[str, Field(description="MAIL_FROM where it is empty.", examples=["news@example.com"])] = ""
    from_name: Annotated[str, Field(examples=["The Garden"])] = ""
    reply_to: Annotated[str, Field(examples=["hello@example.com"])] = ""
    template_id: RowId | None = None
    list_ids: Annotated[list[RowId], Field(max_length=100, description="Who is confirmed on any of these.")] = []
    limits: LimitSpecs = []
    unknown_policy: Annotated[
        UnknownPolicy, Field(description="A copy of which nobody knows whether it was taken: hold it, or send it again")
    ] = UnknownPolicy.HOLD


class CampaignPatch(CampaignIn):
    """What is to be changed; the rest stays. Only before the launch."""

    name: str = ""


class CountsOut(BaseModel):
    """Copies by state; their sum is the audience."""

    pending: int
    sending: int
    accepted: int
    deferred: int
    rejected: int
    unknown: int
    skipped: int
    cancelled: int


class CampaignRow(BaseModel):
    """A campaign in a list."""

    id: int
    name: str
    state: MailingState
    created_at: datetime
    scheduled_at: datetime | None
    launched_at: datetime | None
    finished_at: datetime | None
    audience: Annotated[int, Field(description="Copies so far, the sum of the counts: 0 before the launch.")]
    counts: CountsOut


class ProblemOut(BaseModel):
    """Something that keeps the campaign from being launched."""

    field: Annotated[str, Field(examples=["template_id"])]
    message: Annotated[str, Field(examples=["Choose a template: there is nothing to send yet."])]


class CampaignOut(CampaignRow):
    """A campaign, and how it is going."""

    from_address: str
    from_name: str
    reply_to: str
    template_id: int | None
    list_ids: list[int]
    limits: list[LimitSpec]
    unknown_policy: UnknownPolicy
    attachments: list[AttachmentOut] = Field(description="The files that go with every copy.")
    updated_at: datetime
    failure: str | None = Field(description="Why a due launch was refused.")
    problems: list[ProblemOut] = Field(description="What a launch still needs; empty once it was launched.")
    confirmed_count: int | None = Field(description="How many a launch would reach now; null once it was launched.")
    is_enrolled: bool = Field(description="Whether the whole audience is counted in `audience`.")
    rate_per_second: float | None = Field(description="The present rate while sending.")
    average_per_second: float | None = Field(description="From launch to finish.")
    seconds_left: float | None = Field(description="Null where it cannot be said.")
    why_waiting: Annotated[
        str | None, Field(description="Why nothing goes out at the moment.", examples=["Paused by Ada."])
    ]

    @classmethod
    def read(cls, session: Session, campaign: Campaign, now: datetime) -> Self:
        """The campaign as it is now."""
        mailing = campaign.mailing
        is_open = mailing.state in campaigns.EDITABLE
        going = asdict(progress(session, mailing, now))
        problems = launching.problems(session, campaign) if is_open else []
        fields = asdict(draft_of(campaign)) | going | _row_fields(campaign, going["counts"])
        return cls(
            **fields,
            attachments=[AttachmentOut.model_validate(one) for one in attachments_of(session, campaign.attachment_ids)],
            updated_at=campaign.updated_at,
            failure=mailing.failure,
            problems=[ProblemOut(field=problem.field, message=problem.message) for problem in problems],
            confirmed_count=launching.audience_count(session, mailing.list_ids) if is_open else None,
        )


@router.get("")
def list_campaigns(
    session: SessionDep,
    page: PageDep,
    state: Annotated[list[MailingState], Query(default_factory=list)],
    q: Annotated[str, Query(max_length=200, description="A piece of the name.")] = "",
) -> Page[CampaignRow]:
    """Campaigns, the newest first; `state` may be given more than once."""
    rows = read_page(session, campaigns.matching(state, q.replace("\0", "")), [Campaign.id], page)
    counts = counts_of(session, [campaign.id for campaign in rows.items])
    items = [CampaignRow(**_row_fields(campaign, counts[campaign.id])) for campaign in rows.items]
    return Page(items=items, next=rows.next)


@router.post("", status_code=201)
def create_campaign(
    session: SessionDep, user: ApiUser, settings: SettingsDep, now: NowDep, once: OnceDep, wanted: CampaignIn
) -> CampaignOut:
    """Write a new draft."""
    draft = Draft(**_given(wanted, settings))
    made = campaigns.create(session, draft, created_by=user.id, actor=user.name)
    answer = CampaignOut.read(session, made, now)
    once.keep(201, answer)
    session.commit()
    return answer


@router.get("/{campaign_id}", responses=TAGGED)
def show_campaign(session: SessionDep, now: NowDep, campaign_id: PathId, response: Response) -> CampaignOut:
    """Everything about a campaign: what it still needs, how it is going, and why it waits."""
    campaign = campaigns.get(session, campaign_id)
    set_etag(response, written.campaign(draft_of(campaign)))
    return CampaignOut.read(session, campaign, now)


@router.patch("/{campaign_id}", responses=TAGGED)
def change_campaign(
    session: SessionDep,
    settings: SettingsDep,
    now: NowDep,
    if_match: IfMatchDep,
    campaign_id: PathId,
    wanted: CampaignPatch,
) -> CampaignOut:
    """Change what is given, as long as the campaign was not launched."""
    before = draft_of(campaigns.get_locked(session, campaign_id))
    if_match.check(written.campaign(before))
    changed = campaigns.change(session, campaign_id, replace(before, **_given(wanted, settings)), now=now)
    session.commit()
    if_match.answer(written.campaign(draft_of(changed)))
    return CampaignOut.read(session, changed, now)


@router.delete("/{campaign_id}", status_code=204)
def delete_campaign(session: SessionDep, if_match: IfMatchDep, campaign_id: PathId) -> None:
    """Remove a campaign that was never launched. One that was stays, with its log."""
    if_match.check(written.campaign(draft_of(campaigns.get_locked(session, campaign_id))))
    campaigns.delete_draft(session, campaign_id)
    session.commit()


@router.post("/{campaign_id}/copy", status_code=201)
def copy_campaign(session: SessionDep, user: ApiUser, now: NowDep, once: OnceDep, campaign_id: PathId) -> CampaignOut:
    """A new draft with the same words, attachments, sender and lists."""
    made = campaigns.copy(session, campaign_id, created_by=user.id, actor=user.name)
    answer = CampaignOut.read(session, made, now)
    once.keep(201, answer)
    session.commit()
    return answer


def _given(wanted: CampaignIn, settings: Settings) -> dict[str, Any]:
    fields = wanted.model_dump(exclude_unset=isinstance(wanted, CampaignPatch))
    if "limits" in fields:
        fields["limits"] = read_limits(wanted.limits)
    if "from_address" in fields:
        fields["from_address"] = fields["from_address"].strip() or settings.mail_from
    return fields


def _row_fields(campaign: Campaign, counts: Mapping[DeliveryState, int]) -> dict[str, Any]:
    mailing = campaign.mailing
    return {
        "id": campaign.id,
        "name": campaign.name,
        "state": mailing.state,
        "created_at": campaign.created_at,
        "scheduled_at": campaign.scheduled_at,
        "launched_at": mailing.launched_at,
        "finished_at": mailing.finished_at,
        "audience": sum(counts.values()),
        "counts": CountsOut(**{state.value: count for state, count in counts.items()}),
    }
