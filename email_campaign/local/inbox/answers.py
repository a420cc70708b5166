"""What the endpoints of the API have in common: JSON answers, the sentence of a 404, and reading a body."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from email_campaign.local.inbox.go_json import encode

JSON_V1 = {"content-type": "text/json"}
JSON_V2 = {"content-type": "application/json"}
"""Said in a header and not as `media_type`: Starlette would add a charset that MailHog does not send."""

MAX_BODY_BYTES = 64 * 1024


def json_answer(value: Any, headers: dict[str, str]) -> Response:
    """The value as Go writes it."""
    return Response(encode(value), headers=headers)


def not_found(message: str) -> Response:
    """404 with a sentence for people."""
    return Response(f"{message}\n", 404, headers={"content-type": "text/plain; charset=utf-8"})


async def read_body(request: Request) -> bytes:
    """The body, of whatever type it says to be. Raises ValueError beyond 64 kB."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ValueError("too large")
    return bytes(body)
