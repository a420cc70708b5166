"""`Idempotency-Key`: a POST that is sent again with the same key is carried out once and answered the same.

A route takes `once: OnceDep`, calls `once.keep(status, answer)` in front of its only `session.commit()`, and is done:
a request that was carried out before never reaches the route, its answer is repeated.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, FastAPI, Header
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from email_campaign.tasks import idempotency
from email_campaign.tasks.idempotency import Answer
from email_campaign.web.deps import ApiUser, NowDep, SessionDep

CHUNK_BYTES = 1024 * 1024


class Repeated(Exception):
    """The request was carried out before; this is its answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Once:
    """The key of this request, or none."""

    session: Session
    owner: str
    key: str | None
    request_hash: bytes
    now: datetime

    def keep(self, status: int, answer: BaseModel) -> None:
        """Commit this answer with the effect of the request. Does nothing for a request without a key."""
        if self.key is not None:
            idempotency.keep(
                self.session,
                owner=self.owner,
                key=self.key,
                request_hash=self.request_hash,
                answer=Answer(status, answer.model_dump(mode="json", by_alias=True)),
                now=self.now,
            )


def install(app: FastAPI) -> None:
    """Let a repeated request be answered from outside its route."""
    app.add_exception_handler(Repeated, _repeat)


async def _request_hash(request: Request) -> AsyncIterator[bytes]:
    """SHA-256 of what makes the request this one: method, address and body; empty where nobody will compare it."""
    if idempotency.FIELD not in request.headers:
        yield b""
        return
    digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    if request.headers.get("Content-Type", "").lower().startswith("multipart/"):
        # The boundary differs from one sending to the next, so the parts are what counts.
        async with request.form() as fields:
            await _hash_parts(digest, fields)
            yield digest.digest()
    else:
        digest.update(await request.body())
        yield digest.digest()


def _once(
    session: SessionDep,
    user: ApiUser,
    now: NowDep,
    request_hash: Annotated[bytes, Depends(_request_hash)],
    idempotency_key: Annotated[
        str | None,
        Header(
            alias=idempotency.FIELD,
            description="Your name for this request: sent again with it, it is carried out once.",
        ),
    ] = None,
) -> Once:
    once = Once(session, f"user {user.id}", idempotency_key, request_hash, now)
    if once.key is not None:
        answer = idempotency.claim(session, owner=once.owner, key=once.key, request_hash=request_hash, now=now)
        if answer is not None:
            raise Repeated(answer)
    return once


OnceDep = Annotated[Once, Depends(_once)]


async def _hash_parts(digest: "hashlib._Hash", fields: FormData) -> None:
    for name, value in fields.multi_items():
        if isinstance(value, UploadFile):
            digest.update(f"file {name!r} {value.filename!r} {value.size}\n".encode())
            while chunk := await value.read(CHUNK_BYTES):
                digest.update(chunk)
            await value.seek(0)
        else:
            digest.update(f"text {name!r} {value!r}\n".encode())


def _repeat(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Repeated)
    return JSONResponse(error.answer.body, error.answer.status, {"Idempotent-Replayed": "true"})
