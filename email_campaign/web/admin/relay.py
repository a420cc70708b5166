"""Pages: the relay. Can we send, and how fast?"""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from email_campaign import queue
from email_campaign.accounts.users import Role
from email_campaign.campaigns import limits
from email_campaign.clock import clock_time
from email_campaign.delivery import holds, relays, slowing
from email_campaign.delivery.connect import RelayTarget
from email_campaign.delivery.relays import Relay, RelayState
from email_campaign.delivery.trial_call import TrialCall, call_relay
from email_campaign.delivery.workers import Worker
from email_campaign.errors import Invalid
from email_campaign.reports.progress import slowed_words
from email_campaign.reports.relay import traffic
from email_campaign.settings import Settings
from email_campaign.web import written
from email_campaign.web.api.relay import RELAY_ID
from email_campaign.web.collisions import Sides, collide, show_collision
from email_campaign.web.deps import AdminPageUser, NowDep, PageUser, SessionDep, SettingsDep
from email_campaign.web.forms import FormDep
from email_campaign.web.pages import redirect, refuse_form, render

TEMPLATE = "admin/relay/relay.html"
TEST = "admin/relay/test.html"
HERE = "/admin/relay"
SECURITY = {"none": "no encryption", "starttls": "STARTTLS", "tls": "TLS from the start"}
MAX_REASON_CHARACTERS = 300

router = APIRouter(prefix="/relay")


@router.get("")
def show_relay(request: Request, session: SessionDep, settings: SettingsDep, user: PageUser, now: NowDep) -> Response:
    """The relay as it is now."""
    relay = relays.get(session, RELAY_ID)
    fields = written.rate_limits(relay.limits)
    values = {**fields, "version": written.version_of(fields)}
    context = _context(session, relay, settings, user.role, now)
    return render(request, TEMPLATE, values=values, errors={}, form_error="", **context)


@router.get("/live")
def live_relay(session: SessionDep, now: NowDep) -> Response:
    """The moving numbers, for live.js."""
    return JSONResponse(relay_numbers(session, now))


def relay_numbers(session: Session, now: datetime) -> dict[str, Any]:
    """What of the relay moves by itself."""
    relay, moving = relays.get(session, RELAY_ID), traffic(session)
    headline = _headline(relay, moving.worker_count, now)[1]
    return {
        "workers": moving.worker_count,
        "connections": moving.connection_count,
        "rate": moving.rate_per_second,
        "headline": headline,
        "sentence": headline,
    }


@router.post("/limits")
def change_limits(
    request: Request, session: SessionDep, settings: SettingsDep, _admin: AdminPageUser, form: FormDep, now: NowDep
) -> Response:
    """Change the limits; every send process acts on it within a second."""
    try:
        wanted = limits.parse(form["limits"])
        theirs = written.rate_limits(relays.lock(session, RELAY_ID).limits)
        if collision := collide(form["version"], theirs, written.rate_limits(wanted)):
            session.rollback()
            sides = Sides(theirs, {"limits": form["limits"]}, {"limits": ("Mails at most", theirs["limits"])})
            context = _context(session, relays.get(session, RELAY_ID), settings, Role.ADMIN, now)
            return show_collision(request, TEMPLATE, collision, sides, **context)
        relays.change_limits(session, RELAY_ID, wanted, now)
    except Invalid as error:
        session.rollback()
        context = _context(session, relays.get(session, RELAY_ID), settings, Role.ADMIN, now)
        return refuse_form(request, TEMPLATE, form, error, **context)
    holds.release(session, "limit")
    session.commit()
    queue.nudge(queue.DISPATCH)
    return redirect(request, HERE, "Saved; every send process keeps to it within a second.")


@router.post("/pause")
def pause_relay(request: Request, session: SessionDep, user: AdminPageUser, form: FormDep) -> Response:
    """Hand nothing more over."""
    why = form["reason"].replace("\0", "")[:MAX_REASON_CHARACTERS]
    relays.pause(session, RELAY_ID, f"by {user.name}" + (f": {why}" if why else "."))
    session.commit()
    return redirect(request, HERE, "The relay is paused. Campaigns wait, and nothing is lost.")


@router.post("/resume")
def resume_relay(request: Request, session: SessionDep, _admin: AdminPageUser) -> Response:
    """Hand mail over again, and forget earlier failures."""
    relays.resume(session, RELAY_ID)
    holds.release(session, "relay")
    session.commit()
    queue.nudge(queue.DISPATCH)
    return redirect(request, HERE, "Mail is handed over again.")


@router.post("/try-now")
def try_relay_now(request: Request, session: SessionDep, _admin: AdminPageUser, now: NowDep) -> Response:
    """Do not wait for the next try of a relay that cannot be reached."""
    relays.try_now(session, RELAY_ID, now)
    holds.release(session, "relay")
    session.commit()
    queue.nudge(queue.DISPATCH)
    return redirect(request, HERE, "It is tried now, with one mail if one waits; the rest follows if it answers.")


@router.post("/full-speed")
def go_at_full_speed(request: Request, session: SessionDep, _admin: AdminPageUser) -> Response:
    """Forget that the relay said that it is too much."""
    slowing.forget(session, RELAY_ID)
    holds.release(session, "limit")
    session.commit()
    queue.nudge(queue.DISPATCH)
    return redirect(request, HERE, "Full speed again, within the limits. If the relay objects, it is slowed anew.")


@router.post("/test")
def try_relay(request: Request, session: SessionDep, settings: SettingsDep, _admin: AdminPageUser) -> Response:
    """Call the relay and show what was said; no mail is handed over."""
    session.commit()  # no connection of the pool waits idle in a transaction
    call = call_relay(RelayTarget.from_settings(settings), settings.mail_from)
    return render(
        request, TEST, call=call, lines=_lines(call), where=_where(settings), how=SECURITY[settings.smtp_security]
    )


def _context(session: Session, relay: Relay, settings: Settings, role: Role, now: datetime) -> dict[str, Any]:
    moving = traffic(session)
    tone, headline = _headline(relay, moving.worker_count, now)
    return {
        "relay": relay,
        "tone": tone,
        "headline": headline,
        "is_paused": relay.state is RelayState.PAUSED,
        "is_away": bool(relay.failure_count) and relay.state is not RelayState.PAUSED,
        "slowed": slowed_words(relay, now),
        "limits_example": limits.EXAMPLE,
        "traffic": moving,
        "workers": session.scalars(select(Worker).where(Worker.ended_at.is_(None)).order_by(Worker.id)).all(),
        "where": _where(settings),
        "security": SECURITY[settings.smtp_security],
        "username": settings.smtp_username,
        "connections_each": settings.send_connections,
        "is_admin": role is Role.ADMIN,
    }


def _headline(relay: Relay, worker_count: int, now: datetime) -> tuple[str, str]:
    """Tone and sentence: can we send?"""
    if relay.state is RelayState.PAUSED:
        return "deferred", f"Paused {relay.state_reason}".rstrip(".") + "."
    if relay.failure_count:
        again = f" It is tried again at {clock_time(relay.retry_at)}." if relay.retry_at else ""
        said = relay.last_error.rstrip(".") or "it does not answer"
        return "rejected", f"The relay cannot be used: {said}.{again}"
    if not worker_count:
        return "rejected", "No send worker is running, so nothing goes out. Start one, and it goes on by itself."
    if slowed := slowed_words(relay, now):
        return "deferred", slowed.rstrip(".") + "."
    if relay.last_success_at is None:
        return "pending", "Ready. It has taken no mail from us yet; a test shows whether it would."
    return "accepted", "Ready. It took the last mail that we handed over."


def _where(settings: Settings) -> str:
    return f"{settings.smtp_host}:{settings.smtp_port}"


def _lines(call: TrialCall) -> list[dict[str, Any]]:
    return [
        {"at": line.at, "who": line.who, "text": line.text, "tone": "rejected" if line.is_refusal else None}
        for line in call.lines
    ]
