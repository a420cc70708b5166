"""Pages: the Jinja environment, `render`, redirects with a message, and the frame that shows a mail."""

from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from email_campaign.accounts.throttle import TooMany
from email_campaign.content.frame import Theme, framed, has_dark_style
from email_campaign.errors import Invalid
from email_campaign.web import cookies
from email_campaign.web.assets import static
from email_campaign.web.formatting import FILTERS
from email_campaign.web.forms import Form
from email_campaign.web.prose import prose

TEMPLATES_DIR = Path(__file__).parents[2] / "templates"

MAIL_FRAME_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src 'self' data: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""For the HTML of a mail, on an address of its own: no script, no form; a link that is clicked opens a tab."""


def make_environment() -> Environment:
    """The environment of the pages: everything is escaped, and a name that was not given is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES_DIR),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS, prose=prose, has_dark_style=has_dark_style)
    environment.globals["static"] = static
    return environment


_ENVIRONMENT = make_environment()


def render(request: Request, template: str, *, status_code: int = 200, **context: Any) -> Response:
    """A page. Beside its context it sees `path`, `current_user`, `csrf_token` and `flashes`."""
    html = _ENVIRONMENT.get_template(template).render(
        {
            "path": request.url.path,
            "current_user": getattr(request.state, "user", None),
            "csrf_token": cookies.csrf_token(request),
            "flashes": cookies.read_flash(request),
        }
        | context
    )
    response = HTMLResponse(html, status_code)
    cookies.keep_visitor(request, response)
    cookies.take_flash(request, response)
    return response


def refuse_form(request: Request, template: str, form: Form, error: Invalid, **context: Any) -> Response:
    """The form again with what was typed (`values`) and what is wrong: `errors` by field, `form_error` in one sentence.

    The first render gives the template `values` (the defaults), `errors={}` and `form_error=""` itself.
    """
    errors = {problem.field: problem.message for problem in error.problems}
    shown = {"values": form.shown(), "errors": errors, "form_error": error.message}
    return render(request, template, status_code=422, **(context | shown))


def refuse_for_now(request: Request, template: str, form: Form, error: TooMany, now: datetime) -> Response:
    """The form again with what was typed: 429, and when the next try is looked at."""
    page = render(request, template, status_code=429, values=form.shown(), errors={}, form_error=error.message)
    page.headers["Retry-After"] = str(max(1, round((error.retry_at - now).total_seconds())))
    return page


def redirect(request: Request, to: str, message: str = "", level: cookies.Level = "success") -> Response:
    """The answer to a form that was carried out: 303 to a page, which shows the message once."""
    response = RedirectResponse(to, status_code=303)
    if message:
        cookies.set_flash(response, request.app.state.settings, cookies.Flash(message, level))
    return response


def mail_frame_response(html: str, theme: Theme = "light") -> Response:
    """The HTML of a mail for an `<iframe src=… sandbox>`; whatever it holds, it runs nothing here."""
    return HTMLResponse(framed(html, theme), headers={"Content-Security-Policy": MAIL_FRAME_POLICY})
