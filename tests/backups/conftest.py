"""A service with a history, and backups of it."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.orm import sessionmaker

from email_campaign.backups.backup import write_backup
from email_campaign.campaigns.mailings import MailingState, note
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.db import make_engine as make_database_engine
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.settings import Settings
from tests import factories
from tests.databases import another_database
from tests.delivery.conftest import engine_room, make_engine, relay, script  # noqa: F401 – fixtures


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup, and the ids of the campaigns in it by what they were."""

    file: Path
    ids: dict[str, int]

    def change_manifest(self, **values: object) -> None:
        """Write other values into it, whatever the backup is."""
        own = self.file.with_name(f"{self.file.name}.json")
        own.write_text(json.dumps(json.loads(own.read_text()) | values))


@pytest.fixture
def ids(session_factory: SessionFactory) -> dict[str, int]:
    """One campaign of each kind that a backup meets, and a test mail that is on its way."""
    with session_factory.begin() as session:
        made = {}
        for state in ("sending", "paused", "scheduled", "draft"):
            campaign = factories.make_campaign(session, name=state, state=MailingState(state))
            made[state] = campaign.id
            note(session, campaign.id, actor="Ada", kind=state)
            if state == "scheduled":
                campaign.scheduled_at = utc_now()
        for delivery_state in (DeliveryState.PENDING, DeliveryState.DEFERRED, DeliveryState.UNKNOWN):
            mailing = session.get_one(type(campaign), made["sending"]).mailing
            due = utc_now() if delivery_state is DeliveryState.DEFERRED else None
            factories.make_delivery(
                session, mailing, factories.make_contact(session), state=delivery_state, next_attempt_at=due
            )
        made["test"] = factories.make_mailing(session, recipient_address="ada@example.com").id
        return made


@pytest.fixture
def kept(ids: dict[str, int], settings: Settings, tmp_path: Path) -> Kept:
    """A backup of all that."""
    file = tmp_path / "kept.dump"
    write_backup(settings, file, utc_now())
    return Kept(file, ids)


@pytest.fixture
def kept_of(settings: Settings, tmp_path: Path) -> Callable[[], Path]:
    """Makes a backup of what is there now."""

    def make() -> Path:
        file = tmp_path / "now.dump"
        write_backup(settings, file, utc_now())
        return file

    return make


@pytest.fixture
def empty(settings: Settings) -> Iterator[Settings]:
    """Settings on a database with nothing in it."""
    with another_database(settings, f"restored_{os.getpid()}") as made:
        yield made


@pytest.fixture
def restored(empty: Settings) -> Iterator[SessionFactory]:
    """Sessions on that database, once something is in it."""
    engine = make_database_engine(empty, pool_size=1)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()
