"""Health: `/livez` says that the process answers, `/readyz` that it can work."""

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from email_campaign.db import is_reachable
from email_campaign.web.deps import FactoryDep

router = APIRouter()


@router.api_route("/livez", methods=["GET", "HEAD"])
def livez() -> Response:
    """The process answers."""
    return PlainTextResponse("ok")


@router.api_route("/readyz", methods=["GET", "HEAD"])
def readyz(factory: FactoryDep) -> Response:
    """The database answers too; 503 where it does not. The broker may be away: the sweep makes up for it."""
    is_reachable(factory)
    return PlainTextResponse("ok")


@router.get("/")
def home() -> Response:
    """The team's pages are what stands here."""
    return RedirectResponse("/admin", status_code=303)
