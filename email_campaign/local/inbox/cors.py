"""CORS as MailHog does it: one origin, from the settings, on every answer of a known route, whoever asked."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

V1_METHODS = "OPTIONS,GET,POST,DELETE"
V2_METHODS = "OPTIONS,GET,PUT,POST,DELETE"

_EVENTS = "/api/v1/events"


class Cors:
    """ASGI middleware of one route; without an origin it adds nothing."""

    def __init__(self, app: ASGIApp, origin: str) -> None:
        self._app = app
        self._origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._origin:
            await self._app(scope, receive, send)
            return

        async def send_with_origin(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["access-control-allow-origin"] = self._origin
                is_v1 = scope["path"].startswith("/api/v1/")
                headers["access-control-allow-methods"] = V1_METHODS if is_v1 else V2_METHODS
                if scope["path"] != _EVENTS or scope["method"] == "OPTIONS":
                    headers["access-control-allow-headers"] = "Content-Type"
            await send(message)

        await self._app(scope, receive, send_with_origin)
