"""The web application: `uvicorn email_campaign.web.app:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy.orm import sessionmaker
from starlette.middleware import Middleware

from email_campaign import __version__, log, tracing
from email_campaign.db import SessionFactory, make_engine
from email_campaign.delivery.throttle_requests import RequestLimit
from email_campaign.media.storage import open_storage
from email_campaign.settings import Settings, get_settings
from email_campaign.web import errors, idempotency
from email_campaign.web.admin import accounts as admin_accounts
from email_campaign.web.admin import (
    campaign_actions,
    campaign_attachments,
    campaign_content,
    campaign_forms,
    campaign_log,
)
from email_campaign.web.admin import campaigns as admin_campaigns
from email_campaign.web.admin import contacts as admin_contacts
from email_campaign.web.admin import dashboard as admin_dashboard
from email_campaign.web.admin import deliveries as admin_deliveries
from email_campaign.web.admin import events as admin_events
from email_campaign.web.admin import images as admin_images
from email_campaign.web.admin import import_mapping as admin_import_mapping
from email_campaign.web.admin import import_undo as admin_import_undo
from email_campaign.web.admin import imports as admin_imports
from email_campaign.web.admin import lists as admin_lists
from email_campaign.web.admin import proof as admin_proof
from email_campaign.web.admin import reference as admin_reference
from email_campaign.web.admin import relay as admin_relay
from email_campaign.web.admin import reports as admin_reports
from email_campaign.web.admin import suppressions as admin_suppressions
from email_campaign.web.admin import tasks as admin_tasks
from email_campaign.web.admin import templates as admin_templates
from email_campaign.web.admin import tokens as admin_tokens
from email_campaign.web.admin import unknown as admin_unknown
from email_campaign.web.api import accounts as api_accounts
from email_campaign.web.api import attachments as api_attachments
from email_campaign.web.api import campaigns as api_campaigns
from email_campaign.web.api import contacts as api_contacts
from email_campaign.web.api import deliveries as api_deliveries
from email_campaign.web.api import images as api_images
from email_campaign.web.api import import_mapping as api_import_mapping
from email_campaign.web.api import import_undo as api_import_undo
from email_campaign.web.api import imports as api_imports
from email_campaign.web.api import launching as api_launching
from email_campaign.web.api import lists as api_lists
from email_campaign.web.api import previews as api_previews
from email_campaign.web.api import proofs as api_proofs
from email_campaign.web.api import relay as api_relay
from email_campaign.web.api import report_plan as api_report_plan
from email_campaign.web.api import reports as api_reports
from email_campaign.web.api import suppressions as api_suppressions
from email_campaign.web.api import tasks as api_tasks
from email_campaign.web.api import templates as api_templates
from email_campaign.web.api import unknown as api_unknown
from email_campaign.web.assets import Assets
from email_campaign.web.deps import api_user, page_user
from email_campaign.web.forms import read_form
from email_campaign.web.guard import Guard
from email_campaign.web.live import Hub, closed_by_signals
from email_campaign.web.openapi import DescribedApp
from email_campaign.web.public import health, media, metrics, reset, sign_in, styles, unsubscribe
from email_campaign.web.watch import Watch

POOL_SIZE = 20
"""With as many more on top, a connection for each of the 40 threads that routes run in."""

# One line a subject, in the order of the rail. A new file adds its import above and its line here.
API_ROUTERS: tuple[APIRouter, ...] = (
    api_campaigns.router,
    api_attachments.router,
    api_launching.router,
    api_deliveries.router,
    api_unknown.router,
    api_proofs.router,
    api_previews.router,
    api_templates.router,
    api_images.router,
    api_contacts.router,
    api_lists.router,
    api_imports.router,
    api_import_mapping.router,
    api_import_undo.router,
    api_suppressions.router,
    api_relay.router,
    api_tasks.router,
    api_report_plan.router,  # its /schedule stands before /{report_id}
    api_reports.router,
    api_accounts.router,
)
ADMIN_ROUTERS: tuple[APIRouter, ...] = (
    admin_dashboard.router,
    campaign_forms.router,  # its /new stands before /{campaign_id}
    admin_campaigns.router,
    campaign_content.router,
    campaign_attachments.router,
    campaign_actions.router,
    campaign_log.router,
    admin_proof.router,
    admin_deliveries.router,
    admin_unknown.router,
    admin_templates.router,
    admin_images.router,
    admin_contacts.router,
    admin_lists.router,
    admin_imports.router,
    admin_import_mapping.router,
    admin_import_undo.router,
    admin_suppressions.router,
    admin_relay.router,
    admin_tasks.router,
    admin_reports.router,
    admin_reference.router,
    admin_accounts.router,
    admin_tokens.router,
    admin_events.router,
)
PUBLIC_ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    metrics.router,
    sign_in.router,
    reset.router,
    unsubscribe.router,
    media.router,
    styles.router,
)


def create_app(settings: Settings | None = None, session_factory: SessionFactory | None = None) -> FastAPI:
    """An app of its own: nothing is shared between two, so that tests bring their settings and sessions."""
    settings = settings or get_settings()
    app = DescribedApp(
        title="E-mail campaigns",
        version=__version__,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        middleware=[Middleware(Watch), Middleware(Guard, settings=settings)],
        generate_unique_id_function=lambda route: route.name,
    )
    equip(
        app,
        settings,
        session_factory or sessionmaker(make_engine(settings, pool_size=POOL_SIZE), expire_on_commit=False),
    )
    errors.install(app)
    idempotency.install(app)
    for router in API_ROUTERS:
        app.include_router(router, prefix="/api/v1", dependencies=[Depends(api_user)])
    for router in ADMIN_ROUTERS:
        app.include_router(
            router,
            prefix="/admin",
            dependencies=[Depends(page_user), Depends(read_form)],
            include_in_schema=False,
        )
    for router in PUBLIC_ROUTERS:
        app.include_router(router, include_in_schema=False)
    app.mount("/static", Assets())
    return app


def equip(app: FastAPI, settings: Settings, session_factory: SessionFactory) -> None:
    """Give the routes what they work with, all of it new."""
    app.state.settings = settings
    app.state.session_factory = session_factory
    app.state.request_limit = RequestLimit(settings.redis_url, settings.api_rate_per_minute)
    app.state.storage = open_storage(settings)
    app.state.live = Hub(session_factory)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    log.configure(settings.log_level, settings.log_format)
    if not settings.secret_key.get_secret_value():
        # Under an empty key anybody could sign a session.
        raise RuntimeError("SECRET_KEY is not set. Set it to a long random text, and never change it afterwards.")
    tracing.start(settings.otel_exporter_otlp_endpoint, "web")
    with closed_by_signals(app.state.live):
        yield
    tracing.stop()
    app.state.request_limit.close()


app = create_app()
