"""What is noted of every request: the id under which the log tells of it, and its span where traces are made.

Neither has the path, which may hold an unsubscribe link, nor the query, which may name an address: the route alone.
"""

import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from email_campaign import log, tracing

ID_HEADER = "X-Request-ID"
PREFIXES = ("/api/v1", "/admin")
"""Where the app includes its routers: a route knows its path only from there on."""

_A_GOOD_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class Watch:
    """ASGI middleware around everything else. An id that a proxy gave is kept, and every answer says it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(ID_HEADER, "")
        request_id = given if _A_GOOD_ID.fullmatch(given) else secrets.token_hex(8)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[ID_HEADER] = request_id
            await send(message)

        with tracing.serve(scope["method"], headers) as span, log.ids(request=request_id, **_trace()):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                if span is not None:
                    route = route_of(scope)
                    span.update_name(f"{scope['method']} {route}".strip())
                    span.set_attributes({"http.route": route, "http.response.status_code": status})


def route_of(scope: Scope) -> str:
    """The route that a request found, with its names in place of what stood there; empty where it found none."""
    route = str(getattr(scope.get("route"), "path", ""))
    prefix = next((prefix for prefix in PREFIXES if scope["path"].startswith(f"{prefix}/")), "")
    return prefix + route if route else ""


def _trace() -> dict[str, str]:
    trace = tracing.trace_id()
    return {"trace": trace} if trace else {}
