"""Pages: the stream of live numbers that a page follows (static/live.js)."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from email_campaign.errors import Invalid
from email_campaign.web.admin.campaigns import campaign_numbers
from email_campaign.web.admin.dashboard import dashboard_numbers
from email_campaign.web.admin.imports import import_numbers
from email_campaign.web.admin.relay import relay_numbers
from email_campaign.web.admin.tasks import open_tasks_numbers, task_numbers
from email_campaign.web.deps import PageSession
from email_campaign.web.live import Hub, NoRoom, Read
from email_campaign.web.streams import EventStream

MOST_TOPICS = 24
"""A page follows no more things at once."""
RETRY_SECONDS = 30

WHOLE: Mapping[str, Read] = {"dashboard": dashboard_numbers, "relay": relay_numbers, "tasks": open_tasks_numbers}
ONE: Mapping[str, Callable[[Session, int, datetime], Mapping[str, Any]]] = {
    "campaigns": campaign_numbers,
    "imports": import_numbers,
    "tasks": task_numbers,
}
"""By the address of the page below /admin: what `campaigns/12` tells is what /admin/campaigns/12/live does."""

_TOPIC = re.compile(r"([a-z]+)(?:/([1-9][0-9]{0,17}))?")

router = APIRouter(prefix="/events")


@router.get("")
async def follow(
    request: Request, signed_in: PageSession, of: Annotated[list[str], Query(min_length=1, max_length=MOST_TOPICS)]
) -> Response:
    """Each topic's numbers now, and again whenever they change; the event is named for its topic."""
    reads = {topic: _reader(topic) for topic in of}
    hub: Hub = request.app.state.live
    try:
        listener = hub.join(reads, signed_in.id)
    except NoRoom as error:
        raise HTTPException(
            503, "No more pages can follow live numbers at the moment.", {"Retry-After": str(RETRY_SECONDS)}
        ) from error
    return EventStream(hub, listener)


def _reader(topic: str) -> Read:
    """Raises Invalid for what nobody can follow."""
    found = _TOPIC.fullmatch(topic)
    subject, number = found.groups() if found else ("", None)
    if number is None and subject in WHOLE:
        return WHOLE[subject]
    if number is not None and subject in ONE:
        read, row_id = ONE[subject], int(number)
        return lambda session, now: read(session, row_id, now)
    raise Invalid.field("of", f"“{topic[:60]}” cannot be followed; say campaigns/12, or dashboard.")
