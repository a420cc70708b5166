"""MailHog's HTTP API, versions 1 and 2, as the real one answers.

A wrong method is 405 (MailHog: 404), and `start` at or beyond the end gives an empty list with the true total. What
else differs stands in `downloads`, `release` and `stream`, and in `guard` what pages of other sites may do.
"""

import inspect
import re
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from email_campaign.local.inbox.answers import JSON_V1, JSON_V2, json_answer
from email_campaign.local.inbox.cors import Cors
from email_campaign.local.inbox.downloads import Downloads
from email_campaign.local.inbox.jim import JimsChair
from email_campaign.local.inbox.mail import Mail, to_json
from email_campaign.local.inbox.release import Releases
from email_campaign.local.inbox.search import KINDS, search
from email_campaign.local.inbox.store import Store
from email_campaign.local.inbox.stream import Streams

V1_LIMIT = 1_000
V2_LIMIT = 50
V2_MAX_LIMIT = 250

_INTEGER = re.compile(r"[+-]?[0-9]+")

Endpoint = Callable[[Request], Response | Awaitable[Response]]


def api_routes(store: Store, chair: JimsChair, streams: Streams, cors_origin: str = "") -> list[BaseRoute]:
    """Every route of the API. Endpoints that are plain functions run in threads while SMTP goes on."""
    v1, v2, downloads, releases = _V1(store), _V2(store), Downloads(store), Releases(store)

    def route(path: str, **endpoints: Endpoint) -> Route:
        return _route(path, cors_origin, endpoints)

    return [
        route("/api/v1/messages", GET=v1.messages, DELETE=v1.delete_all),
        route("/api/v1/messages/{id}", GET=v1.message, DELETE=v1.delete),
        route("/api/v1/messages/{id}/download", GET=downloads.mail),
        route("/api/v1/messages/{id}/mime/part/{part}/download", GET=downloads.part),
        route("/api/v1/messages/{id}/release", POST=releases.release),
        route("/api/v1/events", GET=streams.events),
        route("/api/v2/messages", GET=v2.messages),
        route("/api/v2/search", GET=v2.search),
        route("/api/v2/jim", GET=chair.answer, POST=chair.answer, PUT=chair.answer, DELETE=chair.answer),
        route("/api/v2/outgoing-smtp", GET=releases.servers),
        # Without OPTIONS and without CORS, in MailHog too: neither is for websockets.
        WebSocketRoute("/api/v2/websocket", streams.websocket),
        Route("/api/v2/websocket", streams.no_upgrade),
    ]


class _V1:
    def __init__(self, store: Store) -> None:
        self._store = store

    def messages(self, _: Request) -> Response:
        return json_answer([to_json(mail) for mail in self._store.newest(limit=V1_LIMIT)], JSON_V1)

    def delete_all(self, _: Request) -> Response:
        self._store.delete_all()
        return Response(headers=JSON_V1)

    def message(self, request: Request) -> Response:
        mail = self._store.get(request.path_params["id"])
        return json_answer(to_json(mail) if mail else None, JSON_V1)

    def delete(self, request: Request) -> Response:
        was_here = self._store.delete(request.path_params["id"])
        return Response(status_code=200 if was_here else 500, headers=JSON_V1)


class _V2:
    def __init__(self, store: Store) -> None:
        self._store = store

    def messages(self, request: Request) -> Response:
        start, limit = _window(request)
        mails = self._store.newest(start, limit)
        return _page(mails, start, total=len(self._store), headers=JSON_V1)

    def search(self, request: Request) -> Response:
        kind, query = _first(request, "kind"), _first(request, "query")
        if kind not in KINDS or not query:
            return Response(status_code=400)
        start, limit = _window(request)
        found = search(self._store, kind, query)
        return _page(found[start : start + limit], start, total=len(found), headers=JSON_V2)


def _route(path: str, cors_origin: str, endpoints: dict[str, Endpoint]) -> Route:
    """One path with an endpoint a method; OPTIONS is 200 and empty, HEAD is a GET without its body."""

    async def dispatch(request: Request) -> Response:
        endpoint = endpoints.get("GET" if request.method == "HEAD" else request.method)
        if endpoint is None:
            return Response()
        answer: Response | Awaitable[Response]
        if inspect.iscoroutinefunction(endpoint):
            answer = endpoint(request)
        else:
            answer = await run_in_threadpool(endpoint, request)
        return await answer if isinstance(answer, Awaitable) else answer

    middleware = [Middleware(Cors, origin=cors_origin)]
    return Route(path, dispatch, methods=[*endpoints, "OPTIONS"], middleware=middleware)


def _page(mails: list[Mail], start: int, total: int, headers: dict[str, str]) -> Response:
    items = [to_json(mail) for mail in mails]
    return json_answer({"total": total, "count": len(items), "start": start, "items": items}, headers)


def _window(request: Request) -> tuple[int, int]:
    """`start` and `limit`; what is no whole number or out of range counts as not given, and 250 is the most."""
    start, limit = _integer(_first(request, "start")), _integer(_first(request, "limit"))
    return max(start, 0), min(limit, V2_MAX_LIMIT) if limit > 0 else V2_LIMIT


def _integer(text: str) -> int:
    """A decimal number of 64 bits, or 0."""
    if not _INTEGER.fullmatch(text) or len(text) > 40:
        return 0
    number = int(text)
    return number if -(2**63) <= number < 2**63 else 0


def _first(request: Request, name: str) -> str:
    values = request.query_params.getlist(name)
    return str(values[0]) if values else ""
