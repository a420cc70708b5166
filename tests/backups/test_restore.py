"""Restoring: all of it or nothing, into the right database, with everything paused, and proven."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, select, text

from email_campaign.accounts.sessions import open_session
from email_campaign.audience.lists import MailingList
from email_campaign.audience.subscriptions import Source, SubscriptionState, subscribe
from email_campaign.audience.welcomes import waiting_lists
from email_campaign.backups.manifest import Manifest
from email_campaign.backups.restore import check_target, restore
from email_campaign.backups.restore_sql import SKIPPED_IDS
from email_campaign.campaigns import launching, welcome_mail
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import MailingEvent
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery import dispatch, sweep
from email_campaign.delivery.welcoming import enrol_waiting
from email_campaign.errors import Conflict
from email_campaign.local.migrate import migrate
from email_campaign.reports.progress import progress
from email_campaign.reports.welcome import welcome_mail as welcome_mail_of
from email_campaign.settings import Settings
from email_campaign.tasks.tasks import TaskState, create_task
from tests import factories
from tests.backups.conftest import Kept
from tests.commands import Console
from tests.delivery.conftest import Engine as EngineRoom

KeptOf = Callable[[], Path]


def rows(factory: SessionFactory, query: str) -> list[Any]:
    with factory() as session:
        return [tuple(row) for row in session.execute(text(query))]


def test_a_backup_restored_into_an_empty_database_proves_itself(
    engine_room: EngineRoom, kept_of: KeptOf, empty: Settings, restored: SessionFactory, console: Console
) -> None:
    campaign_id = engine_room.launch(7)
    engine_room.run(campaign_id)
    file = kept_of()
    done = console("restore", file, DATABASE_URL=empty.database_url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Campaign {campaign_id}, " in done.stdout
    assert "it holds." in done.stdout
    for table in ("deliveries", "attempts", "counters", "contacts", "content_versions"):
        query = f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t"
        assert rows(restored, query) == rows(engine_room.factory, query), table
    proven = console("prove", campaign_id, DATABASE_URL=empty.database_url)
    assert proven.returncode == 0, proven.stdout


def test_what_was_lost_before_the_backup_is_found_after_the_restore(
    engine_room: EngineRoom, kept_of: KeptOf, empty: Settings, console: Console
) -> None:
    campaign_id = engine_room.launch(3)
    engine_room.run(campaign_id)
    with engine_room.factory.begin() as session:
        session.execute(text("DELETE FROM attempts WHERE position = 2"))
    done = console("restore", kept_of(), DATABASE_URL=empty.database_url)
    assert done.returncode == 1
    assert f"IT DOES NOT HOLD. `email-campaign prove {campaign_id}` says more." in done.stdout


def test_a_restored_database_starts_paused_and_says_why(kept: Kept, empty: Settings, restored: SessionFactory) -> None:
    restore(empty, kept.file, Manifest.beside(kept.file))
    states = dict(rows(restored, "SELECT id, state FROM mailings"))
    expected = {"sending": "paused", "paused": "paused", "scheduled": "draft", "draft": "draft", "test": "cancelled"}
    assert {name: states[kept.ids[name]] for name in expected} == expected
    assert rows(restored, "SELECT count(*) FROM campaigns WHERE scheduled_at IS NOT NULL") == [(0,)]
    with restored() as session:
        for name in expected:
            events = select(MailingEvent).where(MailingEvent.mailing_id == kept.ids[name])
            last = session.scalars(events.order_by(MailingEvent.id.desc()).limit(1)).one()
            assert "Restored from the backup of " in last.detail
            assert last.actor == "system"
        campaign = session.get_one(Campaign, kept.ids["sending"])
        assert progress(session, campaign.mailing, utc_now()).why_waiting == "Paused by system."


def test_nothing_goes_out_by_itself_after_a_restore(kept: Kept, empty: Settings, restored: SessionFactory) -> None:
    restore(empty, kept.file, Manifest.beside(kept.file))
    with restored.begin() as session:
        session.execute(text("UPDATE mailings SET unknown_policy = 'resend'"))
    later = utc_now() + timedelta(days=1)
    assert not launching.launch_due(restored, later)
    sweep.sweep(restored, empty, later, queue_is_empty=True)
    with restored.begin() as session:
        assert not dispatch.dispatch(session, empty, later)


def test_nobody_is_welcomed_by_itself_after_a_restore(
    session_factory: SessionFactory, kept_of: KeptOf, empty: Settings, restored: SessionFactory
) -> None:
    now = utc_now()
    with session_factory.begin() as session:
        club = factories.make_list(session, "Club")
        welcome_mail.choose(session, club.id, factories.make_template(session).id)
        for place in ("in the ledger", "waiting"):
            contact = factories.make_contact(session)
            subscribe(session, contact.id, club.id, SubscriptionState.CONFIRMED, Source.API, place, now)
            if place == "in the ledger":
                enrol_waiting(session, club.id, empty, now)
    file = kept_of()
    restore(empty, file, Manifest.beside(file))
    with restored.begin() as session:
        assert not waiting_lists(session, now + timedelta(days=1))
        seen = welcome_mail_of(session, session.get_one(MailingList, club.id))
        assert seen.waiting_count == 1
        assert "Restored from the backup of " in (seen.why_paused or "")
        welcome_mail.resume_welcome(session, club.id, actor="Ada")


def test_ids_of_mailings_made_after_the_backup_are_not_given_again(
    kept: Kept, empty: Settings, restored: SessionFactory
) -> None:
    restore(empty, kept.file, Manifest.beside(kept.file))
    with restored.begin() as session:
        assert factories.make_campaign(session).id > max(kept.ids.values()) + SKIPPED_IDS


def test_a_task_that_would_send_again_is_over_and_nobody_is_signed_in(
    session_factory: SessionFactory, kept_of: KeptOf, empty: Settings, restored: SessionFactory
) -> None:
    with session_factory.begin() as session:
        user = factories.make_user(session)
        for kind in ("resolve_unknown", "import"):
            task = create_task(session, kind=kind, subject_id=1, title=kind, created_by=None, now=utc_now())
            task.state = TaskState.RUNNING
        open_session(session, user_id=user.id, lifetime=timedelta(days=1), now=utc_now())
    file = kept_of()
    restore(empty, file, Manifest.beside(file))
    assert rows(restored, "SELECT kind, state FROM tasks ORDER BY id") == [
        ("resolve_unknown", "cancelled"),
        ("import", "running"),
    ]
    assert rows(restored, "SELECT count(*) FROM sessions") == [(0,)]


def test_a_database_that_holds_something_is_replaced_only_when_that_is_said(
    kept: Kept, empty: Settings, restored: SessionFactory, console: Console
) -> None:
    migrate(empty)
    check_target(empty, replace=False)  # of migrations alone, nobody would miss anything
    with restored.begin() as session:
        factories.make_contact(session, "left@example.com")
        session.execute(text("CREATE TABLE of_a_later_release AS SELECT 1 AS one"))
        session.execute(text("CREATE VIEW seen AS SELECT one FROM of_a_later_release"))
    restored.kw["bind"].dispose()
    refused = console("restore", kept.file, DATABASE_URL=empty.database_url)
    assert refused.returncode == 1
    assert "The database is not empty: it has rows in contacts" in refused.stderr
    done = console("restore", kept.file, "--yes-replace", DATABASE_URL=empty.database_url)
    assert done.returncode in {0, 1}, done.stderr
    assert rows(restored, "SELECT count(*) FROM contacts WHERE address = 'left@example.com'") == [(0,)]
    assert rows(restored, "SELECT to_regclass('of_a_later_release')") == [(None,)]


def test_a_backup_that_breaks_off_changes_nothing(kept: Kept, empty: Settings, restored: SessionFactory) -> None:
    migrate(empty)
    with restored.begin() as session:
        factories.make_contact(session, "left@example.com")
    half = kept.file.read_bytes()[: kept.file.stat().st_size * 3 // 4]
    kept.file.write_bytes(half)
    kept.change_manifest(sha256=hashlib.sha256(half).hexdigest())
    with pytest.raises(Conflict, match="Nothing was restored"):
        restore(empty, kept.file, Manifest.beside(kept.file))
    assert rows(restored, "SELECT address FROM contacts") == [("left@example.com",)]


def test_a_statement_that_fails_changes_nothing_and_is_quoted(
    kept: Kept, empty: Settings, restored: SessionFactory
) -> None:
    migrate(empty)
    with restored.begin() as session:
        factories.make_contact(session, "left@example.com")
        session.execute(text("CREATE TYPE attempts_row AS (a int)"))
        session.execute(text("CREATE DOMAIN contacts_id_seq AS int"))  # a name that the backup needs
    with pytest.raises(Conflict, match=r"Nothing was restored.*ERROR.*contacts_id_seq"):
        restore(empty, kept.file, Manifest.beside(kept.file))
    assert rows(restored, "SELECT address FROM contacts") == [("left@example.com",)]


def test_a_database_in_use_is_left_alone(kept: Kept, empty: Settings, restored: SessionFactory) -> None:
    with restored() as session:
        session.execute(text("SELECT 1"))
        with pytest.raises(Conflict, match=r"connected to this database \(1 times\): stop web"):
            check_target(empty, replace=True)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"migration": "ffffffffffff", "release": "9.0"}, "made by release 9.0, whose schema"),
        ({"key": "0123456789abcdef"}, "SECRET_KEY is not the one of the backup"),
        ({"sha256": "0" * 64}, "it is damaged"),
    ],
)
def test_a_backup_that_does_not_fit_is_refused(
    kept: Kept, empty: Settings, console: Console, changed: dict[str, str], why: str
) -> None:
    kept.change_manifest(**changed)
    done = console("restore", kept.file, DATABASE_URL=empty.database_url)
    assert done.returncode == 1
    assert why in done.stderr
    engine: Engine = create_engine(empty.database_url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT to_regclass('mailings')")) is None
    engine.dispose()


def test_a_backup_without_its_manifest_is_named(kept: Kept, empty: Settings, console: Console) -> None:
    kept.file.with_name("kept.dump.json").unlink()
    done = console("restore", kept.file, DATABASE_URL=empty.database_url)
    assert done.returncode == 1
    assert "kept.dump.json: a backup is the file and the .json beside it" in done.stderr
