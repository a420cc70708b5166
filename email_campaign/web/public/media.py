"""Stored images, for recipients' mail programs: no cookie, no database, kept for good by whoever asked once."""

import logging
from collections.abc import Mapping

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from email_campaign.media.images import KEY
from email_campaign.media.pictures import MEDIA_TYPES
from email_campaign.media.storage import FOREVER, Storage, StorageFailed
from email_campaign.media.tags import ADDRESS

POLICY = "default-src 'none'; sandbox"
"""Opened by itself, a picture is a picture and nothing else."""

log = logging.getLogger(__name__)
router = APIRouter()


@router.api_route(ADDRESS + "/{key:path}", methods=["GET", "HEAD"])
def show_image(request: Request, key: str) -> Response:
    """One file of an image. Its name never means anything else, so the name is the version."""
    found = KEY.fullmatch(key)
    if found is None:
        return _refusal(404, "There is no such image.")
    headers = {
        "ETag": f'"{key}"',
        "Cache-Control": FOREVER,
        "Content-Security-Policy": POLICY,
        "Cross-Origin-Resource-Policy": "cross-origin",  # webmail stands on other sites
    }
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    storage: Storage = request.app.state.storage
    try:
        content = storage.read(key)
    except StorageFailed as error:
        log.warning("an image cannot be read: %s", error)
        return _refusal(503, "Images cannot be read at the moment.", {"Retry-After": "60"})
    if content is None:
        return _refusal(404, "There is no such image, or it was deleted.")
    return Response(content, media_type=MEDIA_TYPES[found["extension"]], headers=headers)


def _refusal(status: int, words: str, headers: Mapping[str, str] | None = None) -> Response:
    """In plain words: a mail program reads no page, and is given no cookie."""
    return PlainTextResponse(words, status, headers)
