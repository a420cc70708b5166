"""Pages: the API's reference, made from its own description, without anything from elsewhere."""

import re
from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response

from email_campaign.errors import NotFound
from email_campaign.web.deps import SettingsDep
from email_campaign.web.openapi import PROBLEMS
from email_campaign.web.pages import render
from email_campaign.web.reference import Group, read_groups

INDEX = "admin/reference/index.html"
GROUP = "admin/reference/group.html"
_CODE = re.compile(r"`([^`]+)`")

router = APIRouter(prefix="/api")


@router.get("")
def show_index(request: Request, settings: SettingsDep) -> Response:
    """How to speak with the API, and all that it can do, in a sentence each."""
    return render(
        request,
        INDEX,
        groups=_groups(request, settings.public_url),
        base_url=settings.public_url,
        rate=settings.api_rate_per_minute,
        problems=list(PROBLEMS.items()),
        said=said,
        in_pieces=in_pieces,
    )


@router.get("/{slug}")
def show_group(request: Request, settings: SettingsDep, slug: str) -> Response:
    """The operations on one subject with their parameters, bodies, answers and examples."""
    groups = _groups(request, settings.public_url)
    group = next((one for one in groups if one.slug == slug), None)
    if group is None:
        raise NotFound("The API has no part of this name.")
    return render(request, GROUP, group=group, groups=groups, said=said, in_pieces=in_pieces)


def said(text: str) -> Markup:
    """A docstring as paragraphs, with what stands in backticks as code."""
    paragraphs = [" ".join(one.split()) for one in text.split("\n\n") if one.strip()]
    return Markup().join(Markup("<p>{}</p>").format(_with_code(one)) for one in paragraphs)


def in_pieces(path: str) -> Markup:
    """A path that may break before each slash, for narrow windows."""
    return Markup("<wbr>/").join(path.split("/"))


def _with_code(text: str) -> Markup:
    made, end = Markup(), 0
    for found in _CODE.finditer(text):
        made += escape(text[end : found.start()]) + Markup("<code>{}</code>").format(found[1])
        end = found.end()
    return made + escape(text[end:])


def _groups(request: Request, base_url: str) -> Sequence[Group]:
    app: FastAPI = request.app
    return read_groups(app.openapi(), base_url)
