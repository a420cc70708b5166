"""The service as it runs, inbox included, and a browser that is signed in to it; one of each for this folder."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, StorageState
from sqlalchemy import Engine

from email_campaign.accounts.users import Role, create_user
from email_campaign.clock import utc_now
from email_campaign.local import ports
from email_campaign.local.programs import Lifeline
from email_campaign.settings import Settings
from tests.browser.people import ADDRESS, PASSWORD, sign_in
from tests.browser.visitor import CHROMIUM, open_browser, visiting
from tests.service import Service, running_service
from tests.tables import empty_tables

Visit = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A Chromium; where there is none the tests of this folder are skipped."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="package")
def service(
    browser: Browser, engine: Engine, settings: Settings, lifeline: Lifeline, services_dir: Path
) -> Iterator[Service]:
    """Every process of the service; its relay is the inbox."""
    smtp_port = ports.free_port()
    update = {
        "inbox_smtp_port": smtp_port,
        "inbox_http_port": ports.free_port(),
        "send_processes": 1,  # the service starts sooner
        "sweep_seconds": 1.0,  # speeds are measured from sweep to sweep, and people look at them
        "smtp_idle_seconds": 0.5,  # the inbox keeps its mood (Jim) for as long as a connection lasts
        "smtp_helo_name": "mail.seeds.example",
        "retry_delays_seconds": (2.0, 600.0),  # whoever is put off twice can be looked at
    }
    folder = services_dir / "browser"
    folder.mkdir(exist_ok=True)  # the files of this package need not follow one another
    empty_tables(engine)
    with running_service(settings, lifeline, folder, ("127.0.0.1", smtp_port), **update) as running:
        with running.factory.begin() as session:
            create_user(session, address=ADDRESS, name="Ines", password=PASSWORD, role=Role.ADMIN, now=utc_now())
        running.start("inbox")
        yield running
    empty_tables(engine)


@pytest.fixture(scope="package")
def signed_in(browser: Browser, service: Service) -> StorageState:
    """The cookies of a browser that is signed in."""
    with visiting(browser, service.settings.public_url) as page:
        sign_in(page)
        return page.context.storage_state()


@pytest.fixture
def visit(browser: Browser, service: Service, signed_in: StorageState) -> Visit:
    """Opens a signed-in page, with these options of the browser's context."""

    @contextmanager
    def open_page(**options: Any) -> Iterator[Page]:
        with visiting(browser, service.settings.public_url, **{"storage_state": signed_in, **options}) as page:
            yield page

    return open_page


@pytest.fixture(scope="package")
def inbox_url(service: Service) -> str:
    """Where the inbox shows its mails."""
    return f"http://{service.settings.inbox_host}:{service.settings.inbox_http_port}"
