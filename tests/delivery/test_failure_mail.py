"""Failure mail: once when something begins to fail, again after a week, and when it works again."""

import email
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default

import pytest
from sqlalchemy import select

from email_campaign.accounts.users import Role, disable
from email_campaign.campaigns.failure_mail import FailureNotice, tell_by_mail
from email_campaign.campaigns.mailings import Mailing
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.settings import Settings
from email_campaign.tasks import outcomes
from email_campaign.tasks.tasks import TaskState, create_task
from tests import factories
from tests.delivery.conftest import Engine

NIGHT = datetime(2026, 11, 23, 3, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def team(session_factory: SessionFactory) -> str:
    """Two administrators, of whom one is gone, and a member; the address of the one who is told."""
    with session_factory.begin() as session:
        ada = factories.make_user(session, name="Ada")
        disable(factories.make_user(session, name="Eve"), now=NIGHT)
        factories.make_user(session, name="Bob", role=Role.MEMBER)
        return ada.address


def _fail(factory: SessionFactory, at: datetime, kind: str = "recount") -> None:
    """As each night writes a failed task of its own, of which only the first would be written by `tell_failure`."""
    with factory.begin() as session:
        task = create_task(session, kind=kind, subject_id=None, title="Nightly, in MB", created_by=None, now=at)
        task.state, task.error, task.finished_at = TaskState.FAILED, "No space left.", at


def _sweep(factory: SessionFactory, settings: Settings, at: datetime) -> int:
    with factory.begin() as session:
        return len(tell_by_mail(session, settings, at))


def _work(factory: SessionFactory, at: datetime, kind: str = "recount") -> None:
    with factory.begin() as session:
        outcomes.tell_success(session, kind, at)


def test_a_streak_is_told_once_again_after_a_week_and_at_its_end(
    session_factory: SessionFactory, settings: Settings
) -> None:
    told = []
    for night in range(9):
        at = NIGHT + night * DAY
        _fail(session_factory, at)
        told.append(_sweep(session_factory, settings, at + timedelta(seconds=5)))
        assert _sweep(session_factory, settings, at + timedelta(seconds=10)) == 0
    assert told == [1, 0, 0, 0, 0, 0, 0, 1, 0]
    mended = NIGHT + 9 * DAY
    _work(session_factory, mended)
    assert [_sweep(session_factory, settings, mended) for _ in range(2)] == [1, 0]
    _fail(session_factory, mended + DAY)  # another streak
    assert _sweep(session_factory, settings, mended + DAY) == 1


def test_each_kind_is_told_by_itself(session_factory: SessionFactory, settings: Settings) -> None:
    _fail(session_factory, NIGHT, "recount")
    assert _sweep(session_factory, settings, NIGHT) == 1
    _fail(session_factory, NIGHT + DAY, "backup")
    assert _sweep(session_factory, settings, NIGHT + DAY) == 1
    _work(session_factory, NIGHT + DAY, "recount")
    assert _sweep(session_factory, settings, NIGHT + DAY) == 1
    with session_factory() as session:
        assert session.scalars(select(FailureNotice.kind)).all() == ["backup"]


def test_what_never_failed_is_not_told_to_work(session_factory: SessionFactory, settings: Settings) -> None:
    _work(session_factory, NIGHT)
    assert _sweep(session_factory, settings, NIGHT) == 0


def test_what_somebody_asked_for_is_not_mailed(session_factory: SessionFactory, settings: Settings) -> None:
    _fail(session_factory, NIGHT, "proof")
    assert _sweep(session_factory, settings, NIGHT) == 0


def test_many_sweeps_at_once_tell_it_once(session_factory: SessionFactory, settings: Settings) -> None:
    _fail(session_factory, NIGHT)
    with ThreadPoolExecutor(6) as sweeps:
        told = list(sweeps.map(lambda _: _sweep(session_factory, settings, NIGHT), range(6)))
    assert sum(told) == 1
    _work(session_factory, NIGHT + DAY)
    with ThreadPoolExecutor(6) as sweeps:
        told = list(sweeps.map(lambda _: _sweep(session_factory, settings, NIGHT + DAY), range(6)))
    assert sum(told) == 1


def test_the_mails_say_what_fails_since_when_and_that_it_works_again(engine_room: Engine, team: str) -> None:
    _fail(engine_room.factory, NIGHT, "report")
    _sweep(engine_room.factory, engine_room.settings, utc_now())
    with engine_room.factory.begin() as session:
        outcomes.tell_success(session, "report", utc_now())
    _sweep(engine_room.factory, engine_room.settings, utc_now())
    with engine_room.factory() as session:
        ids = session.scalars(select(Mailing.id).order_by(Mailing.id)).all()
    for mailing_id in ids:
        engine_room.run(mailing_id)
    fails, works = (
        email.message_from_bytes(body, policy=default, _class=EmailMessage) for _, body in engine_room.relay.bodies
    )
    assert (fails["Subject"], works["Subject"]) == ("Nightly fails", "Scheduled report works again")
    assert fails["To"] == works["To"] == f"Ada <{team}>"
    plain = fails.get_body(("plain",))
    assert plain is not None
    assert "since 23 Nov 2026, 03:00:00 UTC" in plain.get_content()
    assert "No space left." in plain.get_content()
