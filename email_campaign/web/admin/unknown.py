"""Pages: unknown copies. Which are they, how does one find out, and what is done with them?

What is ticked is asked about first, on a page of its own; so it works without scripts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign import queue
from email_campaign.accounts.users import User
from email_campaign.campaigns import campaigns
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import UnknownPolicy
from email_campaign.delivery.compose import derive_message_id
from email_campaign.delivery.deliveries import Delivery, DeliveryState, states_of
from email_campaign.delivery.orders import derive_keys
from email_campaign.delivery.unknown import Decision, Resolution, resolve_copies
from email_campaign.delivery.unknown_policy import change_policy
from email_campaign.delivery.unknown_task import TASK_KIND, resolve_all
from email_campaign.errors import Conflict, Invalid
from email_campaign.reports import queries
from email_campaign.reports.progress import progress
from email_campaign.reports.reasons import not_reached, reason_words
from email_campaign.reports.unknown import UnknownCopy, read_unknown, unknown_counts, unknown_of
from email_campaign.settings import Settings
from email_campaign.tasks.tasks import Task
from email_campaign.web import written
from email_campaign.web.admin import delivery_words
from email_campaign.web.admin.listing import read_listing
from email_campaign.web.collisions import collide
from email_campaign.web.deps import NowDep, PageUser, PathId, SessionDep, SettingsDep
from email_campaign.web.formatting import number
from email_campaign.web.forms import Form, FormDep
from email_campaign.web.pages import redirect, render
from email_campaign.web.paging import MAX_LIMIT, PageDep

LIST = "admin/unknown/list.html"
ASK = "admin/unknown/ask.html"

router = APIRouter()


def unknown_url(campaign_id: int | None) -> str:
    """Where the unknown copies of a campaign stand, or those of all (None)."""
    return "/admin/unknown" if campaign_id is None else f"/admin/campaigns/{campaign_id}/unknown"


def done_words(resolution: Resolution, done: int) -> str:
    """What was done with so many copies; some may have been resolved meanwhile."""
    if not done:
        return "Nothing was left to do: these copies are not unknown any more, or are being sent again."
    words = {
        Resolution.ACCEPTED: ("1 copy is marked as accepted", "copies are marked as accepted"),
        Resolution.REJECTED: ("1 copy is marked as not delivered", "copies are marked as not delivered"),
        Resolution.RESEND: ("1 copy is due to be sent again", "copies are due to be sent again"),
    }
    one, many = words[resolution]
    return f"{one if done == 1 else f'{number(done)} {many}'}."


@router.get("/unknown")
def list_unknown(request: Request, session: SessionDep, settings: SettingsDep, page: PageDep, now: NowDep) -> Response:
    """The unknown copies of all mailings, the newest first."""
    counts = unknown_counts(session)
    keys = [Delivery.mailing_id, Delivery.position]
    listing = read_listing(request, session, unknown_of(counts), keys, page, known=sum(counts.values()))
    lines = _lines(read_unknown(session, listing.items), settings)
    return render(request, LIST, campaign=None, listing=listing, lines=lines, here=unknown_url(None), now=now)


@router.get("/campaigns/{campaign_id}/unknown")
def list_unknown_of_campaign(
    request: Request, session: SessionDep, settings: SettingsDep, page: PageDep, now: NowDep, campaign_id: PathId
) -> Response:
    """The unknown copies of a campaign, in the order in which they went out."""
    campaign = campaigns.get(session, campaign_id)
    going = progress(session, campaign.mailing, now)
    known = going.counts[DeliveryState.UNKNOWN]
    listing = read_listing(
        request, session, unknown_of([campaign_id]), [Delivery.position], page, ascending=True, known=known
    )
    return render(
        request,
        LIST,
        campaign=campaign,
        going=going,
        not_reached=not_reached,
        listing=listing,
        lines=_lines(read_unknown(session, listing.items), settings),
        here=unknown_url(campaign_id),
        task=_open_task(session, campaign_id),
        now=now,
    )


@router.post("/unknown")
def ask(request: Request, session: SessionDep, now: NowDep, form: FormDep) -> Response:
    """What was ticked is asked about before it is done."""
    return _ask(request, session, _read_choice(form, now), None)


@router.post("/campaigns/{campaign_id}/unknown")
def ask_of_campaign(request: Request, session: SessionDep, now: NowDep, form: FormDep, campaign_id: PathId) -> Response:
    """What was ticked, or all of them, is asked about before it is done."""
    return _ask(request, session, _read_choice(form, now), campaigns.get(session, campaign_id))


@router.post("/unknown/confirmed")
def resolve_unknown(request: Request, session: SessionDep, user: PageUser, now: NowDep, form: FormDep) -> Response:
    """Resolve what was ticked."""
    return _resolve(request, session, user, _read_choice(form, now), None)


@router.post("/campaigns/{campaign_id}/unknown/confirmed")
def resolve_unknown_of_campaign(
    request: Request, session: SessionDep, user: PageUser, now: NowDep, form: FormDep, campaign_id: PathId
) -> Response:
    """Resolve what was ticked, or all of them."""
    campaigns.get(session, campaign_id)
    return _resolve(request, session, user, _read_choice(form, now), campaign_id)


@router.post("/campaigns/{campaign_id}/unknown/policy")
def change_unknown_policy(
    request: Request, session: SessionDep, user: PageUser, form: FormDep, campaign_id: PathId
) -> Response:
    """Hold unknown copies or send them again; also while it is sending, and after it."""
    here = f"/admin/campaigns/{campaign_id}"
    policy = next((one for one in UnknownPolicy if one == form["unknown_policy"]), None)
    if policy is None:
        raise Invalid.field("unknown_policy", "Choose to hold unknown copies or to send them again.")
    said = {
        UnknownPolicy.HOLD: "Unknown copies are held from now on, until somebody decides about them.",
        UnknownPolicy.RESEND: "Unknown copies are sent again from now on, once each.",
    }
    theirs = campaigns.get_locked(session, campaign_id).mailing.unknown_policy
    if collide(form["version"], written.unknown_policy(theirs), written.unknown_policy(policy)):
        # Of two choices, whoever collides has changed nothing: they sent back what the page showed them.
        return redirect(request, here, f"Somebody else chose meanwhile, and that holds: {said[theirs]}", "warning")
    try:
        change_policy(session, campaign_id, policy, actor=user.name)
    except Conflict as error:
        return redirect(request, here, error.message, "warning")
    session.commit()
    queue.nudge(queue.SWEEP)
    return redirect(request, here, said[policy])


@dataclass(frozen=True, slots=True)
class _Choice:
    """What was chosen on the page: these copies, or all of the campaign that were unknown at `until` (`is_all`)."""

    resolution: Resolution
    delivery_ids: Sequence[str]
    is_all: bool
    until: datetime
    now: datetime


def _read_choice(form: Form, now: datetime) -> _Choice:
    resolution = next((one for one in Resolution if one == form["resolution"]), None)
    if resolution is None:
        raise Invalid.field("resolution", "Choose what became of the copies: accepted, rejected or resend.")
    try:
        until = datetime.fromisoformat(form["until"]) if form["until"] else now
    except ValueError as error:
        raise Invalid.field("until", "The page is out of date: load it again, and choose there.") from error
    if until.tzinfo is None:
        raise Invalid.field("until", "The page is out of date: load it again, and choose there.")
    return _Choice(resolution, form.all("selected")[:MAX_LIMIT], form["scope"] == "matching", until, now)


def _ask(request: Request, session: Session, choice: _Choice, campaign: Campaign | None) -> Response:
    here = unknown_url(campaign.id if campaign else None)
    is_all = choice.is_all and campaign is not None
    chosen = len(choice.delivery_ids)
    if is_all and campaign is not None:
        chosen = states_of(session, campaign.id)[DeliveryState.UNKNOWN]
    if not chosen:
        return redirect(request, here, "No copy was selected; tick the boxes first.", "warning")
    fields = {
        "resolution": choice.resolution.value,
        "scope": "matching" if is_all else "selected",
        "selected": [] if is_all else choice.delivery_ids,
        "until": choice.until.isoformat(),
    }
    return render(
        request, ASK, campaign=campaign, resolution=choice.resolution.value, chosen=chosen, fields=fields, here=here
    )


def _resolve(request: Request, session: Session, user: User, choice: _Choice, campaign_id: int | None) -> Response:
    here = unknown_url(campaign_id)
    decision = Decision(choice.resolution, user.name, choice.until)
    try:
        if choice.is_all and campaign_id is not None:
            begun = resolve_all(session, campaign_id, decision, created_by=user.id, now=choice.now)
            done, task = begun.count, begun.task
        else:
            keys = [queries.parse_delivery_id(delivery_id) for delivery_id in choice.delivery_ids]
            done, task = resolve_copies(session, keys, decision, choice.now), None
    except Conflict as error:
        return redirect(request, here, error.message, "warning")
    session.commit()
    if task is not None:
        queue.nudge(queue.HOP, task.id)
        return redirect(request, here, "It is being done, page by page; the numbers go down as it goes on.")
    if choice.resolution is Resolution.RESEND:
        queue.nudge(queue.DISPATCH)
    return redirect(request, here, done_words(choice.resolution, done))


def _open_task(session: Session, campaign_id: int) -> Task | None:
    return session.scalar(
        select(Task).where(Task.kind == TASK_KIND, Task.subject_id == campaign_id, Task.finished_at.is_(None)).limit(1)
    )


def _lines(copies: Sequence[UnknownCopy], settings: Settings) -> list[dict[str, Any]]:
    """Each copy with the Message-ID to search for, and what its last attempt said."""
    key = derive_keys(settings).message_id
    return [
        {
            "one": one,
            "message_id": derive_message_id(key, one.mailing.id, one.copy.delivery.position, one.mailing.from_address),
            "why": reason_words(one.copy.delivery.reason),
            "said": delivery_words.reply(one.attempt) if one.attempt else "",
        }
        for one in copies
    ]
