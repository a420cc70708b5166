"""What stands before every route: known hosts, bodies of bounded size, headers that bind the browser, and the last net.

`Guard` is one ASGI middleware, so that also the answers to what went wrong carry the headers.
"""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from email_campaign.settings import Settings
from email_campaign.web import errors
from email_campaign.web.errors import Problem

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Set where the route did not set its own."""

IMPORTS = ("/api/v1/imports", "/admin/imports")
"""Requests to these addresses may be as large as an import."""
IMAGES = ("/api/v1/images", "/admin/images")
"""Likewise, as an image."""
ATTACHING = re.compile(r"/api/v1/campaigns/[0-9]+/attachments|/admin/campaigns/(?:new|preview|[0-9]+/edit)")
"""Requests to these may carry twice what a mail carries: who chose too much is told beside the field, and keeps what
they typed."""
MULTIPART_BYTES = 64 * 1024
"""What a form adds to the file that it carries."""
PROBES = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked by address or by a container's name, not by ours."""


class Guard:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._hosts = {"localhost", "127.0.0.1", "::1", urlsplit(settings.public_url).hostname}
        self._hosts |= {host.lower() for host in settings.allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._add_headers(MutableHeaders(scope=message), scope)
            await send(message)

        limit = self._body_limit(scope["path"])
        request = Request(scope)
        if problem := self._refusal(request, limit):
            await errors.answer(request, problem)(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, _counting(receive, limit), send_with_headers)
        except Exception as error:
            if started:
                raise
            await errors.unexpected(request, error)(scope, receive, send_with_headers)

    def _refusal(self, request: Request, limit: int) -> Problem | None:
        host = _host_name(request.headers)
        if host not in self._hosts and request.url.path not in PROBES:
            return Problem(
                400, f"This service does not answer for the host {host[:100]!r}. Set ALLOWED_HOSTS if it should."
            )
        length = request.headers.get("Content-Length", "0")
        if length.isdigit() and int(length) > limit:
            return Problem(413, _too_large(limit))
        return None

    def _body_limit(self, path: str) -> int:
        if path.rstrip("/") in IMPORTS:
            return self._settings.import_max_bytes + MULTIPART_BYTES
        if path.rstrip("/") in IMAGES:
            return self._settings.image_max_bytes + MULTIPART_BYTES
        if ATTACHING.fullmatch(path.rstrip("/")):
            return self._settings.request_max_bytes + 2 * self._settings.attachments_max_bytes
        return self._settings.request_max_bytes

    def _add_headers(self, headers: MutableHeaders, scope: Scope) -> None:
        """`answer_headers` of the request's state go on whatever it is answered with, also on what went wrong."""
        for name, value in (HEADERS | scope.get("state", {}).get("answer_headers", {})).items():
            headers.setdefault(name, value)
        if self._settings.cookie_secure:
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")


def _host_name(headers: Headers) -> str:
    try:
        return urlsplit("//" + headers.get("Host", "")).hostname or ""
    except ValueError:
        return ""


def _counting(receive: Receive, limit: int) -> Receive:
    """A body without Content-Length is cut off where it becomes too large."""
    received = 0

    async def receive_counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, _too_large(limit))
        return message

    return receive_counted


def _too_large(limit: int) -> str:
    return f"The request is larger than {limit:,} bytes, which is the most that is taken here."
