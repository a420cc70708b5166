"""Pages: the list of campaigns, and one campaign: is it ready, how is it going, who did not get it."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from email_campaign.audience.lists import MailingList
from email_campaign.campaigns import campaigns
from email_campaign.campaigns.campaigns import EDITABLE, Campaign
from email_campaign.campaigns.mailings import Mailing, MailingEvent, MailingState
from email_campaign.content.attachments import attachments_of
from email_campaign.content.versions import ContentVersion
from email_campaign.delivery.preview import preview_campaign
from email_campaign.delivery.relays import Relay
from email_campaign.errors import Invalid
from email_campaign.reports import queries
from email_campaign.reports.progress import Progress, progress
from email_campaign.reports.readiness import readiness
from email_campaign.reports.reasons import missed_by_reason, missed_words, not_reached
from email_campaign.settings import Settings
from email_campaign.web import written
from email_campaign.web.admin import wording
from email_campaign.web.admin.campaign_content import recipient_for
from email_campaign.web.admin.listing import read_listing
from email_campaign.web.deps import NowDep, PageUser, PathId, SessionDep, SettingsDep
from email_campaign.web.formatting import visible_rate
from email_campaign.web.pages import render
from email_campaign.web.paging import PageDep

HERE = "/admin/campaigns"
EVENTS_SHOWN = 50
LISTS_NAMED = 20

router = APIRouter(prefix="/campaigns")


@router.get("")
def list_campaigns(
    request: Request,
    session: SessionDep,
    page: PageDep,
    state: str = "",
    q: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    """Where are we? The newest first, by state and by a piece of the name."""
    chosen = [one for one in MailingState if one == state]
    matching = campaigns.matching(chosen, q.replace("\0", ""))
    listing = read_listing(request, session, matching, [Campaign.id], page)
    return render(
        request,
        "admin/campaigns/list.html",
        listing=listing,
        counts=queries.counts_of(session, [campaign.id for campaign in listing.items]),
        values={"state": state if chosen else "", "q": q},
        is_filtered=bool(chosen or q.strip()),
        states=[(one.value, one.value) for one in MailingState],
        not_reached=not_reached,
    )


@router.get("/{campaign_id}")
def show_campaign(
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    user: PageUser,
    now: NowDep,
    campaign_id: PathId,
    contact: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    """A draft with what it still needs; a launched campaign with what became of it."""
    campaign = campaigns.get(session, campaign_id)
    if campaign.mailing.state in EDITABLE or campaign.mailing.launched_at is None:
        context = draft_context(session, settings, campaign, now, contact)
        values = {"address": user.address, "contact": contact}
        return render(
            request, "admin/campaigns/draft.html", values=values, errors={}, form_error="", refused="", **context
        )
    values = limit_values(campaign.mailing)
    context = launched_context(session, campaign, now)
    return render(request, "admin/campaigns/launched.html", values=values, errors={}, form_error="", **context)


@router.get("/{campaign_id}/live")
def live_campaign(session: SessionDep, now: NowDep, campaign_id: PathId) -> Response:
    """The numbers of the moment, for live.js."""
    return JSONResponse(campaign_numbers(session, campaign_id, now))


def campaign_numbers(session: Session, campaign_id: int, now: datetime) -> dict[str, Any]:
    """What of a campaign moves by itself; `done` once nothing does. Raises NotFound."""
    campaign = campaigns.get(session, campaign_id)
    going = progress(session, campaign.mailing, now)
    counts = {state.value: count for state, count in going.counts.items()}
    state = campaign.mailing.state
    sentence = wording.headline(state, going) if campaign.mailing.launched_at else ""
    return {
        "state": state.value,
        "counts": counts,
        "audience": going.audience,
        "not_reached": not_reached(going.counts),
        "rate": visible_rate(going.rate_per_second),
        "seconds_left": going.seconds_left,
        "doing": doing(campaign.mailing, going),
        "sentence": sentence,
        "done": not is_going(campaign.mailing),
    }


def draft_context(
    session: Session, settings: Settings, campaign: Campaign, now: datetime, contact: str
) -> dict[str, Any]:
    """What the page of a draft shows, beside its forms."""
    preview, problem = None, ""
    try:
        preview = preview_campaign(session, campaign, recipient_for(session, campaign, contact), settings, now)
    except Invalid as error:
        problem = error.message
    ready = readiness(session, campaign)
    return {
        "campaign": campaign,
        "ready": ready,
        # What does not fit anybody chosen by us, the launch would refuse; whom the reader chose is the reader's case.
        "blocked": " ".join(one.message for one in ready.problems) or ("" if contact else problem),
        "lists": list_names(session, campaign.mailing),
        "attached": attachments_of(session, campaign.attachment_ids),
        "preview": preview,
        "preview_problem": problem,
        "contact": contact,
        "events": wording.tell(_events(session, campaign.id)),
        "now": now,
        "relay_name": f"{settings.smtp_host}:{settings.smtp_port}",
    }


def launched_context(session: Session, campaign: Campaign, now: datetime) -> dict[str, Any]:
    """What the page of a launched campaign shows, beside its forms."""
    mailing = campaign.mailing
    going = progress(session, mailing, now)
    return {
        "campaign": campaign,
        "going": going,
        "headline": wording.headline(mailing.state, going),
        "doing": doing(mailing, going),
        "not_reached": not_reached,
        "reasons": missed_by_reason(going.counts, queries.reasons_of(session, campaign.id)),
        "missed_words": missed_words,
        "lists": list_names(session, mailing),
        "relay": session.get_one(Relay, mailing.relay_id),
        "version": session.get(ContentVersion, mailing.content_version_id),
        "attached": attachments_of(session, campaign.attachment_ids),
        "events": wording.tell(_events(session, campaign.id)),
        "is_live": is_going(mailing),
        "policy_version": written.version_of(written.unknown_policy(mailing.unknown_policy)),
    }


def doing(mailing: Mailing, going: Progress) -> str:
    """What happens at this moment, in a sentence: why nothing goes out, or that it does."""
    if going.why_waiting:
        return going.why_waiting
    going_on = {MailingState.SENDING: "Mail is going out.", MailingState.CANCELLED: "What is left is being cancelled."}
    return going_on.get(mailing.state, "")


def is_going(mailing: Mailing) -> bool:
    """Whether its numbers or its state may still change without anybody's doing."""
    if mailing.state is MailingState.CANCELLED:
        return mailing.launched_at is not None and mailing.settled_at is None
    return mailing.state in {MailingState.SENDING, MailingState.PAUSED, MailingState.SCHEDULED}


def limit_values(mailing: Mailing) -> dict[str, Any]:
    """The limits as their form shows them."""
    fields = written.rate_limits(mailing.limits)
    return {**fields, "version": written.version_of(fields)}


def list_names(session: Session, mailing: Mailing) -> list[MailingList]:
    """The first of the mailing's lists."""
    query = select(MailingList).where(MailingList.id.in_(mailing.list_ids)).order_by(MailingList.name)
    return list(session.scalars(query.limit(LISTS_NAMED)))


def _events(session: Session, mailing_id: int) -> list[MailingEvent]:
    query = queries.timeline_of(mailing_id).order_by(MailingEvent.id.desc()).limit(EVENTS_SHOWN)
    return list(session.scalars(query))
