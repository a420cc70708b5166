"""Every failure as an answer: RFC 9457 problem+json for the API and for scripts, a page for people."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from email_campaign.accounts.throttle import TooMany
from email_campaign.clock import utc_now
from email_campaign.db import DATABASE_AWAY
from email_campaign.errors import Conflict, DomainError, FieldProblem, Invalid, NotAllowed, NotFound
from email_campaign.web.deps import SignInNeeded, refuse_stranger
from email_campaign.web.pages import render
from email_campaign.web.watch import route_of

log = logging.getLogger(__name__)

DATABASE_RETRY_SECONDS = 5

_STATUS: Mapping[type[DomainError], int] = {NotFound: 404, Conflict: 409, Invalid: 422, NotAllowed: 403}

_PASSING = frozenset({429, 500, 503})
"""What may be better in a moment."""

_OF_THE_BODY = frozenset({400, 413})
"""What is said while a body is read."""

_UNTOLD = {
    404: "There is nothing at this address.",
    405: "This address does not take {method}.",
}
"""Sentences for what Starlette says with the bare name of the status."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, for whichever reader; `detail` says what, where and how to mend it."""

    status: int
    detail: str
    problems: Sequence[FieldProblem] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The status in words: with the type `about:blank`, RFC 9457 4.2.1 wants just that."""
        return HTTPStatus(self.status).phrase


def install(app: FastAPI) -> None:
    """Answer every failure of the app's routes."""
    app.add_exception_handler(DomainError, _domain_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(SignInNeeded, _sign_in_needed)
    for unstorable in (DataError, UnicodeEncodeError):
        app.add_exception_handler(unstorable, _unstorable)
    for lost in DATABASE_AWAY:
        app.add_exception_handler(lost, _database_away)


def answer(request: Request, problem: Problem) -> Response:
    """The problem as JSON where a program asks, as a page where a person does."""
    if wants_json(request):
        return JSONResponse(_body(request, problem), problem.status, problem.headers, "application/problem+json")
    try:
        response = render(
            request,
            "error.html",
            status_code=problem.status,
            problem=problem,
            can_retry=request.method == "GET" and problem.status in _PASSING,
            retry_url=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        )
    except Exception:
        log.exception("the error page failed")
        response = PlainTextResponse(f"{problem.title}. {problem.detail}", problem.status)
    response.headers.update(problem.headers)
    return response


def wants_json(request: Request) -> bool:
    """Whether a program asks: the API, or a script of our pages that says so in Accept (EventSource does)."""
    accept = request.headers.get("Accept", "")
    for_scripts = "application/json" in accept or "text/event-stream" in accept
    return request.url.path.startswith("/api/") or (for_scripts and "text/html" not in accept)


def unexpected(request: Request, error: Exception) -> Response:
    """500 with an id under which the log tells the rest; nothing of the inside is shown."""
    error_id = secrets.token_hex(4)
    log.error(
        "error %s in %s %s",
        error_id,
        request.method,
        route_of(request.scope),
        exc_info=error,
        extra={"error": error_id},
    )
    return answer(
        request,
        Problem(
            500,
            f"Something failed here that should not. The log has it as error {error_id}; "
            "try again, and tell your administrator this number if it stays.",
        ),
    )


def _body(request: Request, problem: Problem) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.url.path,
    }
    return body | {"errors": [asdict(one) for one in problem.problems]}


def _domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    if isinstance(error, TooMany):
        wait = max(1, round((error.retry_at - utc_now()).total_seconds()))
        return answer(request, Problem(429, error.message, headers={"Retry-After": str(wait)}))
    status = next(code for kind, code in _STATUS.items() if isinstance(error, kind))
    return answer(request, Problem(status, error.message, error.problems if isinstance(error, Invalid) else ()))


def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if refusal := _to_a_stranger(request):
        return refusal
    if any(one["loc"][0] == "path" for one in error.errors()):
        return answer(request, Problem(404, _UNTOLD[404]))
    problems = [_field_problem(one) for one in error.errors()]
    where = ", ".join(dict.fromkeys(problem.field for problem in problems))
    detail = problems[0].message if len(problems) == 1 else f"{len(problems)} things are wrong with the request."
    return answer(request, Problem(422, f"{where}: {detail}" if len(problems) == 1 else detail, problems))


def _to_a_stranger(request: Request) -> Response | None:
    try:
        refuse_stranger(request)
    except HTTPException as refused:
        return _http_error(request, refused)
    except DATABASE_AWAY as lost:
        return _database_away(request, lost)
    return None


def _field_problem(one: Mapping[str, Any]) -> FieldProblem:
    """Pydantic's finding in our words; what was sent is never repeated, it may be a secret."""
    kind, message, place = one["type"], str(one["msg"]), [str(part) for part in one["loc"]]
    if kind == "json_invalid":
        return FieldProblem("body", f"The body is no valid JSON: {one.get('ctx', {}).get('error', 'see its syntax')}.")
    if kind == "missing":
        message = "This is required."
    elif kind == "extra_forbidden":
        message = "There is no field of this name."
    elif kind == "value_error":
        message = message.removeprefix("Value error, ")
    else:
        message = message.replace("Input should", "It should", 1) + "."
    return FieldProblem(".".join(place[1:]) or place[0], message)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in _OF_THE_BODY and (refusal := _to_a_stranger(request)):
        return refusal
    detail = str(error.detail)
    if detail == HTTPStatus(error.status_code).phrase:
        detail = _UNTOLD.get(error.status_code, detail + ".").format(method=request.method)
    return answer(request, Problem(error.status_code, detail, headers=error.headers or {}))


def _sign_in_needed(request: Request, _error: Exception) -> Response:
    if wants_json(request):
        return answer(request, Problem(401, "You are signed out. Sign in and come back."))
    back = request.url.path if request.method == "GET" else "/admin"
    if request.method == "GET" and request.url.query:
        back += f"?{request.url.query}"
    return RedirectResponse(f"/sign-in?{urlencode({'next': back}, quote_via=quote)}", status_code=303)


def _unstorable(request: Request, error: Exception) -> Response:
    log.warning("the database refused a value: %s", type(getattr(error, "orig", error)).__name__)
    return answer(
        request,
        Problem(
            422, "A value cannot be stored: it has a NUL or half a surrogate pair in it, or a number is too large."
        ),
    )


def _database_away(request: Request, error: Exception) -> Response:
    error_id = secrets.token_hex(4)
    where = f"{request.method} {route_of(request.scope)}"
    log.error("error %s: the database does not answer %s: %s", error_id, where, error, extra={"error": error_id})
    return answer(
        request,
        Problem(
            503,
            "The database does not answer at the moment. Nothing was changed; try again in a few seconds. "
            f"The log has it as error {error_id}.",
            headers={"Retry-After": str(DATABASE_RETRY_SECONDS)},
        ),
    )
