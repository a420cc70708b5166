"""Pages: the settings of whoever is signed in: password and sessions."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign import queue
from email_campaign.accounts import sessions, users
from email_campaign.accounts.sessions import SignInSession
from email_campaign.campaigns import system_mail
from email_campaign.errors import Invalid
from email_campaign.web.deps import NowDep, PageSession, PageUser, PathId, SessionDep, SettingsDep
from email_campaign.web.forms import FormDep
from email_campaign.web.pages import redirect, refuse_form, render

TEMPLATE = "admin/accounts/settings.html"
HERE = "/admin/settings"

router = APIRouter()


@router.get("/settings")
def show_settings(request: Request, session: SessionDep, current: PageSession, now: NowDep) -> Response:
    """The settings page."""
    context = _context(session, current, now)
    return render(request, TEMPLATE, values={}, errors={}, form_error="", **context)


@router.post("/settings/password")
def change_password(
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    current: PageSession,
    user: PageUser,
    form: FormDep,
    now: NowDep,
) -> Response:
    """Change the password, sign every other browser out (whoever knew the old one is gone), and tell them by mail."""
    try:
        if form.raw("new_password") != form.raw("new_password_again"):
            raise Invalid.field("new_password_again", "The two new passwords differ.")
        users.change_password(user, current=form.raw("current_password"), new=form.raw("new_password"))
    except Invalid as error:
        return refuse_form(request, TEMPLATE, form, error, **_context(session, current, now))
    sessions.end_other_sessions(session, user_id=user.id, keep_id=current.id)
    mailing = system_mail.send_changed(session, user, settings, now)
    session.commit()
    queue.nudge(queue.LAUNCH_ONE, mailing.id)
    return redirect(request, HERE, "Your password was changed. Every other browser was signed out.")


@router.post("/settings/sessions/{session_id}/end")
def end_session(request: Request, session: SessionDep, user: PageUser, session_id: PathId) -> Response:
    """Sign one browser out."""
    sessions.end_session(session, user_id=user.id, session_id=session_id)
    session.commit()
    return redirect(request, HERE, "That browser was signed out.")


def _context(session: Session, current: SignInSession, now: Any) -> dict[str, Any]:
    user_id = current.user_id
    return {
        "sessions": session.scalars(sessions.list_sessions(user_id, now)).all(),
        "current_session_id": current.id,
    }
