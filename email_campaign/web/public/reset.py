"""Pages: a new password by mail: ask for the link, open it, choose the password. Looking changes nothing."""

from datetime import datetime

from fastapi import APIRouter
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from email_campaign import queue
from email_campaign.accounts import resets, users
from email_campaign.accounts.resets import DeadLink, Fault
from email_campaign.accounts.throttle import TooMany
from email_campaign.campaigns import system_mail
from email_campaign.db import SessionFactory
from email_campaign.errors import Invalid
from email_campaign.settings import Settings
from email_campaign.web.deps import ClientDep, FactoryDep, NowDep, SessionDep, SettingsDep
from email_campaign.web.forms import FormDep
from email_campaign.web.pages import redirect, refuse_for_now, refuse_form, render

FORGOT = "public/forgot.html"
RESET = "public/reset.html"
DEAD = "public/reset_dead.html"

router = APIRouter()


@router.get("/forgot")
def show_forgot(request: Request) -> Response:
    """The form for an address."""
    return render(request, FORGOT, values={}, errors={}, form_error="")


@router.post("/forgot")
def ask_for_link(
    request: Request, factory: FactoryDep, settings: SettingsDep, now: NowDep, client: ClientDep, form: FormDep
) -> Response:
    """Send a link, if the address has a user. The answer is the same in any case, and takes as long: the mail is made
    once it has gone out."""
    address = form["address"]
    if not address:
        return refuse_form(request, FORGOT, form, Invalid.field("address", "Give the address that you sign in with."))
    try:
        resets.allow_request(factory, settings, address=address, client=client, now=now)
    except TooMany as error:
        return refuse_for_now(request, FORGOT, form, error, now)
    answer = redirect(request, "/forgot/sent")
    answer.background = BackgroundTask(_send_link, factory, settings, address, now)
    return answer


@router.get("/forgot/sent")
def show_sent(request: Request) -> Response:
    """What happens next."""
    minutes = int(resets.LIFETIME.total_seconds()) // 60
    return render(request, "public/forgot_sent.html", minutes=minutes)


# Link scanners of mail providers follow every link: reading must be harmless, also with HEAD.
@router.api_route("/reset/{token}", methods=["GET", "HEAD"])
def show_reset(request: Request, session: SessionDep, settings: SettingsDep, now: NowDep, token: str) -> Response:
    """The form for the new password; or why the link does not work."""
    try:
        _, user = resets.read_link(session, settings, token, now)
    except DeadLink as error:
        return _dead(request, error)
    return render(request, RESET, address=user.address, values={}, errors={}, form_error="")


@router.post("/reset/{token}")
def set_password(
    request: Request, session: SessionDep, settings: SettingsDep, now: NowDep, token: str, form: FormDep
) -> Response:
    """Set the new password, sign every browser of the user out, and tell them by mail."""
    try:
        _, user = resets.read_link(session, settings, token, now)
        try:
            if form.raw("new_password") != form.raw("new_password_again"):
                raise Invalid.field("new_password_again", "The two passwords differ.")
            resets.set_password(session, settings, token, form.raw("new_password"), now)
        except Invalid as error:
            session.rollback()
            return refuse_form(request, RESET, form, error, address=user.address)
    except DeadLink as error:
        session.rollback()
        return _dead(request, error)
    mailing = system_mail.send_changed(session, user, settings, now)
    session.commit()
    queue.nudge(queue.LAUNCH_ONE, mailing.id)
    return redirect(request, "/sign-in", "Your password was changed. Sign in with the new one.")


def _send_link(factory: SessionFactory, settings: Settings, address: str, now: datetime) -> None:
    with factory.begin() as session:
        user = users.find_by_address(session, address)
        if user is None:
            return
        mailing = system_mail.send_reset(session, user, settings, now)
    queue.nudge(queue.LAUNCH_ONE, mailing.id)


def _dead(request: Request, error: DeadLink) -> Response:
    return render(request, DEAD, status_code=404 if error.fault is Fault.UNKNOWN else 410, fault=error.fault.value)
