"""What stands before every page: no foreign Host, no foreign site that writes or listens, headers for the browser.

MailHog lets any origin open its websocket, so that any page in a developer's browser could read the mail. Here a
program may say whatever origin it likes, but a browser's page of another site is refused, unless it is of
INBOX_CORS_ORIGIN: to that origin (`*`: to all) the API is as open as MailHog's. The pages themselves never are.
"""

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

    def __init__(self, app: ASGIApp, bound_host: str, cors_origin: str = "") -> None:
        self._app = app
        self._bound_host = bound_host.lower()
        self._cors_origin = cors_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope, Headers(scope=scope))
        app = PlainTextResponse(refusal, 403) if refusal else self._app

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                _bind(MutableHeaders(scope=message), scope["path"])
            await send(message)

        await app(scope, receive, send_with_policy)

    def _refusal(self, scope: Scope, headers: Headers) -> str:
        """Why a request is refused, or an empty text."""
        host = headers.get("host", "")
        if not _is_ours(host, self._bound_host):
            # A name that an attacker points at 127.0.0.1 would make his page same-origin with the inbox.
            return "This inbox does not answer under that host name. Use 127.0.0.1, or the name in INBOX_HOST.\n"
        origin = headers.get("origin")
        if origin and scope["path"].startswith("/api/") and self._cors_origin in {"*", origin}:
            return ""
        is_foreign = origin is not None and origin.partition("://")[2] != host
        if scope["type"] == "websocket":
            # Sec-Fetch-Site is not asked: some browsers take ws: for another site than http:, others do not send it.
            if is_foreign and _is_of_a_browser(headers):
                return "A page of another site may not listen to this inbox. INBOX_CORS_ORIGIN can allow it.\n"
            return ""
        if scope["method"] in _READING:
            return ""
        if site := headers.get("sec-fetch-site"):
            is_foreign = site not in {"same-origin", "none"}
        return "A page of another site may not change this inbox.\n" if is_foreign else ""


def _is_of_a_browser(headers: Headers) -> bool:
    """Whether a page may be behind it. No script can take these headers from a handshake, and programs lack them."""
    is_named_so = headers.get("user-agent", "").startswith("Mozilla/")
    return is_named_so or any(name == "accept-language" or name.startswith("sec-fetch-") for name in headers)


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
