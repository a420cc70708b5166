"""Pages: sign in and out."""

from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from email_campaign.accounts import sessions
from email_campaign.accounts.sessions import Attempt, TooManySignIns
from email_campaign.errors import Invalid
from email_campaign.web import cookies
from email_campaign.web.deps import ClientDep, FactoryDep, NowDep, SessionDep, SettingsDep
from email_campaign.web.forms import FormDep
from email_campaign.web.pages import redirect, refuse_for_now, refuse_form, render

TEMPLATE = "public/sign_in.html"
HOME = "/admin"

router = APIRouter()


@router.get("/sign-in")
def show_sign_in(request: Request, session: SessionDep, now: NowDep, next: str = HOME) -> Response:  # noqa: A002 – the query's name
    """The form; who is signed in already goes on."""
    token = cookies.session_token(request)
    if token and sessions.find_session(session, token=token, now=now):
        return redirect(request, _own_path(next))
    return render(request, TEMPLATE, values={"next": _own_path(next)}, errors={}, form_error="")


@router.post("/sign-in")
def sign_in(
    request: Request, factory: FactoryDep, settings: SettingsDep, now: NowDep, client: ClientDep, form: FormDep
) -> Response:
    """Sign in, and go on to the page that was asked for first."""
    attempt = Attempt(address=form["address"], password=form.raw("password"), client=client)
    try:
        token = sessions.sign_in(factory, settings, attempt, now)
    except Invalid as error:
        return refuse_form(request, TEMPLATE, form, error)
    except TooManySignIns as error:
        return refuse_for_now(request, TEMPLATE, form, error, now)
    response = redirect(request, _own_path(form["next"]))
    cookies.set_session(response, settings, token)
    return response


@router.post("/sign-out")
def sign_out(request: Request, session: SessionDep, _form: FormDep) -> Response:
    """Sign this browser out. Safe to repeat."""
    if token := cookies.session_token(request):
        sessions.sign_out(session, token=token)
        session.commit()
    response = redirect(request, "/sign-in", "You are signed out.")
    cookies.clear_session(response)
    return response


def _own_path(text: str) -> str:
    """A path of this site, so that nobody can make the sign-in form lead elsewhere."""
    # Browsers drop tabs and line breaks, and read a backslash as a slash: `/\t/elsewhere` is another site.
    plain = all(character > " " and character != "\\" for character in text)
    try:
        parts = urlsplit(text)
    except ValueError:
        return HOME
    own = plain and text.startswith("/") and not text.startswith("//") and not parts.scheme and not parts.netloc
    return text if own else HOME
