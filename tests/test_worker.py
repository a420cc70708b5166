"""The worker's tasks as Celery calls them, on the tests' services."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from email_campaign import db, worker
from email_campaign.audience import import_drafts as drafts
from email_campaign.audience.import_files import Upload
from email_campaign.audience.imports import Import
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.windows import DISPATCH_LOCK
from email_campaign.settings import Settings, get_settings
from tests.faults.waiting import wait_for_a_waiting_lock


@pytest.fixture(autouse=True)
def this_process(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings and sessions as a worker reads and makes them."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    get_settings.cache_clear()
    db.session_factory.cache_clear()
    yield
    db.session_factory().kw["bind"].dispose()
    db.session_factory.cache_clear()
    get_settings.cache_clear()


def test_what_is_put_away_holds_up_no_dispatch(session_factory: SessionFactory, settings: Settings) -> None:
    upload = Upload(file_name="people.csv", stream=[b"address\na@example.test\n"], list_id=None, created_by=None)
    with session_factory.begin() as session:
        drafts.draft_import(session, upload, settings, utc_now() - timedelta(days=2))
    with ThreadPoolExecutor(1) as threads, session_factory() as session:
        assert session.scalars(select(Import).with_for_update()).one()
        tidying = threads.submit(worker.tidy)
        wait_for_a_waiting_lock(session_factory)
        assert session.scalar(select(func.pg_try_advisory_xact_lock(DISPATCH_LOCK)))
        session.rollback()
        tidying.result()
    with session_factory() as session:
        assert not session.scalars(select(Import)).all()
