"""Pages: the dashboard: is everything all right?"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from email_campaign.audience.contacts import Contact
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.content.templates import Template
from email_campaign.reports import dashboard
from email_campaign.reports.dashboard import Need
from email_campaign.reports.reasons import not_reached
from email_campaign.web.admin import wording
from email_campaign.web.admin.campaigns import HERE as CAMPAIGNS
from email_campaign.web.admin.campaigns import doing
from email_campaign.web.admin.unknown import unknown_url
from email_campaign.web.deps import NowDep, SessionDep
from email_campaign.web.pages import render

LIVE_SHOWN = 5
"""So many campaigns are shown with numbers that move; a browser whose stream fails asks for each of them."""

_KINDS = {
    "relay_paused": ("rejected", "relay paused"),
    "relay_down": ("rejected", "relay down"),
    "no_worker": ("rejected", "no worker"),
    "night": ("rejected", "failed at night"),
    "failed": ("rejected", "not launched"),
    "missed": ("rejected", "overdue"),
    "unknown": ("unknown", "unknown"),
    "rejected": ("rejected", "rejected"),
    "welcome_paused": ("rejected", "paused"),
}
"""Tone and word of each kind of need."""

router = APIRouter()


@router.get("")
def show_dashboard(request: Request, session: SessionDep, now: NowDep) -> Response:
    """What is sent now, what needs somebody, what is due, and the last days."""
    seen = dashboard.dashboard(session, now)
    points = [
        {"label": f"{one.day.day} {one.day:%b}", "good": one.accepted, "bad": one.not_reached} for one in seen.days
    ]
    return render(
        request,
        "admin/dashboard/show.html",
        sending=[(campaign, going, doing(campaign.mailing, going)) for campaign, going in seen.sending],
        live_shown=LIVE_SHOWN,
        needs=[(need, *_KINDS[need.kind], _where(need)) for need in seen.needs],
        due=seen.due,
        points=points,
        sent=sum(one.accepted + one.not_reached for one in seen.days),
        steps=_steps(session),
        headline=wording.headline,
        not_reached=not_reached,
        seen=_shape([campaign for campaign, _ in seen.sending], seen.needs, seen.due),
    )


@router.get("/dashboard/live")
def live_dashboard(session: SessionDep, now: NowDep) -> Response:
    """What needs somebody, for live.js."""
    return JSONResponse(dashboard_numbers(session, now))


def dashboard_numbers(session: Session, now: datetime) -> dict[str, Any]:
    """The sentences of what needs somebody, and a `state` that changes with what stands on the page."""
    seen = dashboard.glance(session, now)
    said = [need.message for need in seen.needs]
    return {"state": _shape(seen.sending, seen.needs, seen.due), "needs": said, "sentence": " ".join(said)}


def _shape(sending: Sequence[Campaign], needs: Sequence[Need], due: Sequence[Campaign]) -> str:
    """A hash of which cards, needs and dates there are, whatever their numbers."""
    parts = [
        [(campaign.id, campaign.mailing.state.value) for campaign in sending],
        [(need.kind, need.campaign_id) for need in needs],
        [(campaign.id, campaign.scheduled_at) for campaign in due],
    ]
    return sha256(repr(parts).encode()).hexdigest()[:12]


def _where(need: Need) -> str:
    """Where the need can be looked after."""
    if need.kind == "unknown":
        return unknown_url(need.campaign_id)
    if need.kind == "night":
        return "/admin/tasks?state=failed"
    if need.list_id is not None:
        return f"/admin/lists/{need.list_id}"
    if need.campaign_id is None:
        return "/admin/relay"
    here = f"{CAMPAIGNS}/{need.campaign_id}"
    return f"{here}/log?state={need.kind}" if need.kind == "rejected" else here


def _steps(session: Session) -> dict[str, Any]:
    """Which of the three first steps are done; a new install shows them."""
    return {
        name: session.scalar(select(table.id).limit(1)) is not None
        for name, table in (("contacts", Contact), ("template", Template), ("campaign", Campaign))
    }
