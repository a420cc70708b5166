"""What stands before every page: no foreign Host, no foreign site that writes, headers that bind the browser."""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FRAME_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""For the HTML of a mail: no script, no form, nothing from elsewhere; only a link that is clicked opens a tab."""

DOWNLOAD_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - recognised, not bound
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware. `bound_host` is the host that the inbox listens on."""

    def __init__(self, app: ASGIApp, bound_host: str) -> None:
        self._app = app
        self._bound_host = bound_host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope["method"], Headers(scope=scope))
        app = PlainTextResponse(refusal, 403) if refusal else self._app

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                _bind(MutableHeaders(scope=message), scope["path"])
            await send(message)

        await app(scope, receive, send_with_policy)

    def _refusal(self, method: str, headers: Headers) -> str:
        """Why a request is refused, or an empty text."""
        host = headers.get("host", "")
        if not _is_ours(host, self._bound_host):
            # A name that an attacker points at 127.0.0.1 would make his page same-origin with the inbox.
            return "This inbox does not answer under that host name. Use 127.0.0.1, or the name in INBOX_HOST.\n"
        if method in _READING:
            return ""
        site = headers.get("sec-fetch-site")
        origin = headers.get("origin")
        foreign = (
            site not in {"same-origin", "none"} if site else origin is not None and urlsplit(origin).netloc != host
        )
        return "A page of another site may not change this inbox.\n" if foreign else ""


def _is_ours(host: str, bound_host: str) -> bool:
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if name in _LOOPBACK or name == bound_host:
        return True
    # Open to the network: an address, or a name without a dot (a container's), cannot be anybody's domain.
    return bound_host in _WILDCARDS and (_is_address(name) or (name != "" and "." not in name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _bind(headers: MutableHeaders, path: str) -> None:
    if path.startswith("/api/"):
        headers["content-security-policy"] = DOWNLOAD_POLICY
    headers.setdefault("content-security-policy", PAGE_POLICY)
    headers.setdefault("cache-control", "no-cache" if path.startswith("/static/") else "no-store")
    headers["x-content-type-options"] = "nosniff"
    headers["referrer-policy"] = "no-referrer"
    headers["cross-origin-resource-policy"] = "same-origin"
