"""What the browser carries: the signed session cookie, the CSRF token that belongs to it, and flash messages."""

import base64
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from email_campaign.settings import Settings
from email_campaign.signing import derive_key, keyed_hash, sign, unsign

SESSION = "session"
VISITOR = "visitor"
"""Stands in for the session on pages before sign-in: the CSRF token of the sign-in form is bound to it."""
FLASH = "flash"

Level = Literal["success", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Flash:
    """One message for the next page."""

    message: str
    level: Level = "success"


def set_session(response: Response, settings: Settings, token: str) -> None:
    """Sign the browser in; the visitor that it was is forgotten."""
    value = sign(_key(settings, SESSION), token.encode())
    _set(response, settings, SESSION, value, max_age=settings.session_days * 86_400)
    response.delete_cookie(VISITOR)


def clear_session(response: Response) -> None:
    """Sign the browser out."""
    response.delete_cookie(SESSION)


def session_token(request: Request) -> str | None:
    """The session's secret from a cookie that we signed."""
    return _read(request, SESSION)


def csrf_token(request: Request) -> str:
    """The token that forms and scripts send back; it differs from session to session.

    A browser that has no session becomes a visitor: `keep_visitor` must follow on the response.
    """
    bound_to = session_token(request) or _visitor(request)
    return base64.urlsafe_b64encode(keyed_hash(_key(request.app.state.settings, "csrf"), bound_to)).decode()


def is_csrf_token(request: Request, token: str) -> bool:
    """Whether the token belongs to this browser's session, or to the visitor that it is."""
    if session_token(request) is None and _read(request, VISITOR) is None:
        return False
    return hmac.compare_digest(csrf_token(request).encode(), token.encode())


def keep_visitor(request: Request, response: Response) -> None:
    """Set the visitor cookie where `csrf_token` made a new visitor for this request."""
    if visitor := getattr(request.state, "new_visitor", None):
        settings: Settings = request.app.state.settings
        _set(response, settings, VISITOR, sign(_key(settings, VISITOR), visitor.encode()), max_age=None)


def set_flash(response: Response, settings: Settings, flash: Flash) -> None:
    """Show a message on the next page."""
    value = sign(_key(settings, FLASH), json.dumps(asdict(flash)).encode())
    _set(response, settings, FLASH, value, max_age=60)


def take_flash(request: Request, response: Response) -> None:
    """Forget the message once it was shown."""
    if FLASH in request.cookies:
        response.delete_cookie(FLASH)


def read_flash(request: Request) -> list[Flash]:
    """The messages to show, none or one."""
    text = _read(request, FLASH)
    return [Flash(**json.loads(text))] if text else []


def _visitor(request: Request) -> str:
    visitor = _read(request, VISITOR) or getattr(request.state, "new_visitor", None)
    if visitor is None:
        visitor = request.state.new_visitor = secrets.token_urlsafe(16)
    return visitor


def _read(request: Request, name: str) -> str | None:
    payload = unsign(_key(request.app.state.settings, name), request.cookies.get(name, ""))
    return payload.decode() if payload else None


def _set(response: Response, settings: Settings, name: str, value: str, *, max_age: int | None) -> None:
    response.set_cookie(name, value, max_age=max_age, httponly=True, samesite="lax", secure=settings.cookie_secure)


def _key(settings: Settings, purpose: str) -> bytes:
    return derive_key(settings.secret_key.get_secret_value(), purpose)
