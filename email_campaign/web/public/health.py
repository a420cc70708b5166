"""Health: `/livez` says that this process works, `/readyz` that the service does what it is there for."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from email_campaign.clock import utc_now
from email_campaign.db import DATABASE_AWAY, SessionFactory
from email_campaign.queue import depths
from email_campaign.reports.health import Check, checks, without_database
from email_campaign.settings import Settings
from email_campaign.web.deps import FactoryDep, SettingsDep

THREAD_SECONDS = 2.0
"""A free thread is found at once, unless all of them wait for something that does not come."""

router = APIRouter()


@router.api_route("/livez", methods=["GET", "HEAD"])
async def livez() -> Response:
    """The event loop turns, and a thread is free for a request; 503 where none is. Asks nobody else."""
    try:
        async with asyncio.timeout(THREAD_SECONDS):
            await run_in_threadpool(utc_now)
    except TimeoutError:
        return PlainTextResponse("All threads of this process are taken.", 503)
    return PlainTextResponse("ok")


@router.api_route("/readyz", methods=["GET", "HEAD"])
def readyz(factory: FactoryDep, settings: SettingsDep) -> Response:
    """Every check with what was seen; 503 where one of them fails, of whichever part of the service."""
    seen = _look(factory, settings)
    ok = all(check.ok for check in seen)
    return JSONResponse({"ok": ok, "checks": [asdict(check) for check in seen]}, 200 if ok else 503)


@router.get("/")
def home() -> Response:
    """The team's pages are what stands here."""
    return RedirectResponse("/admin", status_code=303)


def _look(factory: SessionFactory, settings: Settings) -> Sequence[Check]:
    waiting = depths(settings.redis_url)
    try:
        with factory() as session:
            return checks(session, settings, waiting, utc_now())
    except DATABASE_AWAY:
        return without_database(waiting)
