"""MailHog's HTTP API, versions 1 and 2, as the real one answers.

Where MailHog drops the connection (download of a missing mail or part), this answers 404; a wrong method is 405;
`start` beyond the end gives an empty list with the true total. Of a part's headers only those that describe it reach
the HTTP answer: a mail must not be able to set cookies here.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from email_campaign.local.inbox.jim import JimsChair
from email_campaign.local.inbox.mail import Content, Mail, decoded_part, parse, to_eml, to_json
from email_campaign.local.inbox.search import KINDS, search
from email_campaign.local.inbox.store import Store

V1_LIMIT = 1_000
V2_LIMIT = 50
V2_MAX_LIMIT = 250
JSON_V1 = "text/json"
JSON_V2 = "application/json"

_PART_HEADERS = re.compile(r"content-(?:type|disposition|id|transfer-encoding|description|language)|x-[a-z0-9-]+")
_INTEGER = re.compile(r"[+-]?[0-9]+")

Endpoint = Callable[[Request], Response]


def api_routes(store: Store, chair: JimsChair) -> list[Route]:
    """Every route of the API. Endpoints are plain functions: they run in threads while SMTP goes on."""
    v1 = _V1(store)
    v2 = _V2(store)
    return [
        _route("/api/v1/messages", GET=v1.messages, DELETE=v1.delete_all),
        _route("/api/v1/messages/{id}", GET=v1.message, DELETE=v1.delete),
        _route("/api/v1/messages/{id}/download", GET=v1.download),
        _route("/api/v1/messages/{id}/mime/part/{part}/download", GET=v1.download_part),
        _route("/api/v2/messages", GET=v2.messages),
        _route("/api/v2/search", GET=v2.search),
        Route("/api/v2/jim", chair.answer, methods=["GET", "POST", "PUT", "DELETE", "OPTIONS"]),
    ]


class _V1:
    def __init__(self, store: Store) -> None:
        self._store = store

    def messages(self, _: Request) -> Response:
        return _json([to_json(mail) for mail in self._store.newest(limit=V1_LIMIT)], JSON_V1)

    def delete_all(self, _: Request) -> Response:
        self._store.delete_all()
        return Response(headers={"content-type": JSON_V1})

    def message(self, request: Request) -> Response:
        mail = self._asked_for(request)
        return _json(to_json(mail) if mail else None, JSON_V1)

    def delete(self, request: Request) -> Response:
        if not self._store.delete(request.path_params["id"]):
            return Response(status_code=500)
        return Response(headers={"content-type": JSON_V1})

    def download(self, request: Request) -> Response:
        mail = self._asked_for(request)
        if mail is None:
            return _not_found("This mail is not in the inbox any more.")
        disposition = f'attachment; filename="{mail.id}.eml"'
        return Response(to_eml(mail), headers={"content-type": "message/rfc822", "content-disposition": disposition})

    def download_part(self, request: Request) -> Response:
        mail = self._asked_for(request)
        number = request.path_params["part"]
        parts = parse(mail).parts if mail else []
        position = int(number) if re.fullmatch("[0-9]{1,9}", number) else 0
        if mail is None or position >= len(parts):
            return _not_found("This mail has no such part.")
        return _part_response(parts[position], f"{mail.id}-part-{position}")

    def _asked_for(self, request: Request) -> Mail | None:
        return self._store.get(request.path_params["id"])


class _V2:
    def __init__(self, store: Store) -> None:
        self._store = store

    def messages(self, request: Request) -> Response:
        start, limit = _window(request)
        mails = self._store.newest(start, limit)
        return _page(mails, start, total=len(self._store), media_type=JSON_V1)

    def search(self, request: Request) -> Response:
        kind, query = _first(request, "kind"), _first(request, "query")
        if kind not in KINDS or not query:
            return Response(status_code=400)
        start, limit = _window(request)
        found = search(self._store, kind, query)
        return _page(found[start : start + limit], start, total=len(found), media_type=JSON_V2)


def _route(path: str, **endpoints: Endpoint) -> Route:
    """One path with an endpoint a method; OPTIONS is 200 and empty, as MailHog without a CORS origin answers."""

    def dispatch(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        endpoint = endpoints.get(method)
        return endpoint(request) if endpoint else Response()

    return Route(path, dispatch, methods=[*endpoints, "OPTIONS"])


def _page(mails: list[Mail], start: int, total: int, media_type: str) -> Response:
    items = [to_json(mail) for mail in mails]
    return _json({"total": total, "count": len(items), "start": start, "items": items}, media_type)


def _json(value: Any, media_type: str) -> Response:
    """As Go writes it: no blanks, UTF-8 as it is, and nothing that HTML could take for markup."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # Said in a header and not as `media_type`: Starlette would add a charset that MailHog does not send.
    return Response(text.encode(), headers={"content-type": media_type})


def _part_response(part: Content, name: str) -> Response:
    content = decoded_part(part)
    headers = {"content-disposition": f'attachment; filename="{name}"', "content-type": _sniffed(content)}
    for key, values in part.headers.items():
        if _PART_HEADERS.fullmatch(key.lower()):
            headers[key.lower()] = re.sub(r"[\x00-\x1f\x7f]", " ", values[-1])
    response = Response(content)
    fixed = [(key, value) for key, value in response.raw_headers if key == b"content-length"]
    # Raw, because the header of a mail may hold UTF-8 where Starlette allows Latin-1 only.
    response.raw_headers = fixed + [(key.encode(), value.strip().encode()) for key, value in headers.items()]
    return response


def _sniffed(content: bytes) -> str:
    try:
        text = content.decode()
    except ValueError:
        return "application/octet-stream"
    return (
        "application/octet-stream" if re.search(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]", text) else "text/plain; charset=utf-8"
    )


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


def _not_found(message: str) -> Response:
    return Response(f"{message}\n", 404, headers={"content-type": "text/plain; charset=utf-8"})
