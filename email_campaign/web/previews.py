"""The answer of a preview route: JSON for the script, HTML for the frame, errors as what is being typed deserves."""

from collections.abc import Callable
from dataclasses import asdict
from html import escape

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from email_campaign.content.frame import Theme, has_dark_style
from email_campaign.delivery.preview import Preview
from email_campaign.errors import Invalid
from email_campaign.web.errors import wants_json
from email_campaign.web.pages import mail_frame_response


def answer_preview(request: Request, compose: Callable[[], Preview]) -> Response:
    """Subject and text, or the mail's HTML; what `compose` finds Invalid is told with 200.

    An error of what is being typed is no failed request: a browser would log each of those.
    """
    try:
        made = compose()
    except Invalid as error:
        problems = [asdict(one) for one in error.problems] or [{"field": "", "message": error.message}]
        if wants_json(request):
            return JSONResponse({"subject": "", "text": "", "errors": problems})
        return mail_frame_response("".join(f"<p>{escape(one['message'])}</p>" for one in problems))
    if wants_json(request):
        dark = has_dark_style(made.html or "")
        return JSONResponse({"subject": made.subject, "text": made.text, "has_dark_style": dark})
    theme: Theme = "dark" if request.query_params.get("theme") == "dark" else "light"
    return mail_frame_response(f"<pre>{escape(made.text)}</pre>" if made.html is None else made.html, theme)
