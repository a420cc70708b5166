"""The API's own description: what FastAPI finds in the routes, with the problem answers that every route may give."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

DESCRIPTION = (
    "Everything that the pages can do. Send an API token as `Authorization: Bearer ec_…`. Lists come in pages: send "
    "`next` of one page as `cursor` of the next. A failure is a problem (RFC 9457) whose `errors` name the fields. "
    "`Idempotency-Key` on a request that says so makes it safe to send again. A token has so many requests a minute: "
    "`RateLimit` says how many are left, and when the minute is over; beyond them the answer is 429. "
    "What can be edited is read with an `ETag`: sent back as `If-Match`, the edit is refused with 412 where somebody "
    "else was faster."
)
PROBLEMS = {
    "400": "The request cannot be read.",
    "401": "The API token is missing, unknown or revoked.",
    "403": "The user may not do this.",
    "404": "There is no such thing.",
    "409": "Not in the present state.",
    "412": "It was changed after you read it.",
    "413": "The body is too large.",
    "422": "Some fields are wrong; `errors` names them.",
    "429": "The token has made its requests of this minute; `Retry-After` says when to ask again.",
    "503": "The database does not answer; try again.",
}
PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "errors"],
    "properties": {
        "type": {"type": "string", "example": "about:blank"},
        "title": {"type": "string", "example": "Unprocessable Content"},
        "status": {"type": "integer", "example": 422},
        "detail": {"type": "string", "example": "The address needs the form name@domain."},
        "instance": {"type": "string", "example": "/api/v1/contacts"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {"type": "string", "example": "address"},
                    "message": {"type": "string", "example": "The address needs the form name@domain."},
                },
            },
        },
    },
}


class DescribedApp(FastAPI):
    """FastAPI whose OpenAPI document says problem+json for every failure."""

    def openapi(self) -> dict[str, Any]:
        """Made once; the routes do not change any more."""
        if self.openapi_schema is None:
            self.openapi_schema = _describe(self)
        return self.openapi_schema


def _describe(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes, tags=app.openapi_tags
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for replaced in ("HTTPValidationError", "ValidationError"):
        schemas.pop(replaced, None)
    schemas["Problem"] = PROBLEM_SCHEMA
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    components["responses"] = {
        f"Problem{status}": {"description": text, "content": problem} for status, text in PROBLEMS.items()
    }
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"] |= {
                status: {"$ref": f"#/components/responses/Problem{status}"} for status in _problems_of(operation)
            }
    return document


def _problems_of(operation: Mapping[str, Any]) -> list[str]:
    is_conditional = any(one["name"].lower() == "if-match" for one in operation.get("parameters", ()))
    return [status for status in PROBLEMS if status != "412" or is_conditional]
