"""Metrics for Prometheus, behind a token of their own."""

import hmac
from collections.abc import Iterable

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from email_campaign import __version__
from email_campaign.clock import utc_now
from email_campaign.db import DATABASE_AWAY, SessionFactory
from email_campaign.queue import depths
from email_campaign.reports.metrics import database_up, of_rows, of_service
from email_campaign.settings import Settings
from email_campaign.web.deps import FactoryDep, SettingsDep

router = APIRouter()


class _Scrape(Collector):
    """What is collected once, for one answer."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """As a registry asks for them."""
        return self._metrics


@router.get("/metrics")
def metrics(request: Request, factory: FactoryDep, settings: SettingsDep) -> Response:
    """In the text format; 404 while no METRICS_TOKEN is set, 401 without it (RFC 6750)."""
    token = settings.metrics_token.get_secret_value()
    if not token:
        raise HTTPException(404, "There are no metrics here. Set METRICS_TOKEN, and send it as a bearer token.")
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise HTTPException(
            401,
            "Send METRICS_TOKEN in the header `Authorization: Bearer …`.",
            headers={"WWW-Authenticate": 'Bearer realm="metrics"'},
        )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(_collect(factory, settings)))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _collect(factory: SessionFactory, settings: Settings) -> list[Metric]:
    """Without the database there is less to say, but that."""
    waiting = depths(settings.redis_url)
    collected = list(of_service(__version__, waiting))
    try:
        with factory() as session:
            rows = list(of_rows(session, settings, waiting, utc_now()))
    except DATABASE_AWAY:
        return [*collected, database_up(is_up=False)]
    return [*collected, database_up(is_up=True), *rows]
