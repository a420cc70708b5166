"""Whether work is done, told from rows: what was swept and taken lately, who beats, and what waits for no reason."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import Mailing, MailingState
from email_campaign.clock import utc_now
from email_campaign.delivery import relays, workers
from email_campaign.delivery.measures import Measures
from email_campaign.delivery.windows import Slice, Stretch, Window
from email_campaign.reports.health import Check, checks, overdue
from email_campaign.settings import Settings
from email_campaign.tasks import signs
from tests import factories

EMPTY = {"send.system": 0, "send": 0, "control": 0, "work": 0}
HOUR = timedelta(hours=1)


@pytest.fixture
def at_work(session: Session) -> int:
    """Everything was seen at work just now; the id of the send worker."""
    for name in (signs.SWEEP, "control", "work"):
        signs.give_sign(session, name)
    worker_id = workers.register(session, host="here", pid=1, now=utc_now())
    beat(session, worker_id, slice_age=1.0)
    return worker_id


def beat(session: Session, worker_id: int, *, slice_age: float) -> None:
    measures = Measures(slice_count=1, slice_at=utc_now().timestamp() - slice_age)
    workers.beat(session, worker_id, rate_per_second=None, connection_count=0, measures=measures)
    session.expire_all()


def age(session: Session, name: str, seconds: float) -> None:
    aged = text("UPDATE signs SET at = now() - :age * interval '1 second' WHERE name = :name")
    session.execute(aged, {"name": name, "age": seconds})
    session.expire_all()


def failing(session: Session, settings: Settings, **depths: int) -> dict[str, Check]:
    waiting = EMPTY | {name.replace("__", "."): count for name, count in depths.items()}
    return {check.name: check for check in checks(session, settings, waiting, utc_now()) if not check.ok}


def sending(session: Session) -> Mailing:
    """A campaign that was launched an hour ago, with fresh copies to deal out."""
    campaign = factories.make_campaign(session, template=factories.make_template(session), state=MailingState.SENDING)
    campaign.mailing.launched_at = utc_now() - HOUR
    session.add(Stretch(mailing_id=campaign.id, first_position=1, last_position=9, frontier=4, lane=0))
    session.flush()
    return campaign.mailing


def add_window(session: Session, mailing: Mailing, age_: timedelta) -> None:
    now = utc_now()
    session.add(Window(mailing_id=mailing.id, lane=0, opened_at=now - age_, deadline_at=now))
    session.flush()


@pytest.mark.usefixtures("at_work")
def test_a_service_at_work_passes_every_check(session: Session, settings: Settings) -> None:
    assert failing(session, settings) == {}
    assert failing(session, settings, send=40, work=3) == {}


def test_a_service_that_never_did_anything_is_not_ready(session: Session, settings: Settings) -> None:
    assert set(failing(session, settings)) == {"sweep", "send"}


@pytest.mark.usefixtures("at_work")
def test_a_broker_that_does_not_answer_is_said(session: Session, settings: Settings) -> None:
    assert [check.name for check in checks(session, settings, None, utc_now()) if not check.ok] == ["broker"]


@pytest.mark.usefixtures("at_work")
def test_sweeps_that_stopped_are_said_with_what_to_do(session: Session, settings: Settings) -> None:
    age(session, signs.SWEEP, 300)
    found = failing(session, settings)["sweep"]
    assert found.seen == "The last sweep ended 5 min ago."
    assert "beat" in found.mend


@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize("queue", ["control", "work"])
def test_a_queue_must_be_empty_or_taken_from(session: Session, settings: Settings, queue: str) -> None:
    age(session, queue, 600)
    assert failing(session, settings) == {}
    assert set(failing(session, settings, **{queue: 2})) == {queue}


def test_send_workers_must_beat_and_take_what_waits(session: Session, settings: Settings, at_work: int) -> None:
    beat(session, at_work, slice_age=600)
    assert failing(session, settings) == {}
    assert set(failing(session, settings, send__system=1)) == {"send"}
    workers.sign_off(session, at_work)
    assert "No send worker beats" in failing(session, settings)["send"].seen


@pytest.mark.usefixtures("at_work")
def test_fresh_copies_that_get_no_turn_are_overdue(session: Session, settings: Settings) -> None:
    mailing = sending(session)
    add_window(session, mailing, HOUR / 2)
    (found,) = overdue(session, utc_now())
    assert found.mailing_id == mailing.id
    assert 1790 < (utc_now() - found.since).total_seconds() < 1810
    assert set(failing(session, settings)) == {"due"}
    add_window(session, mailing, timedelta(seconds=2))
    assert failing(session, settings) == {}


@pytest.mark.usefixtures("at_work")
def test_a_copy_that_is_due_again_is_overdue(session: Session, settings: Settings) -> None:
    mailing = sending(session)
    add_window(session, mailing, timedelta())
    delivery = factories.make_delivery(session, mailing)
    delivery.next_attempt_at = utc_now() + HOUR
    session.flush()
    assert failing(session, settings) == {}
    delivery.next_attempt_at = utc_now() - HOUR / 4
    session.flush()
    assert set(failing(session, settings)) == {"due"}


@pytest.mark.usefixtures("at_work")
def test_what_waits_for_a_known_reason_is_not_overdue(session: Session) -> None:
    mailing = sending(session)
    assert overdue(session, utc_now())
    held = Slice(mailing_id=mailing.id, row_count=1, lane=0, hold_reason="limit", due_at=utc_now() + HOUR)
    session.add(held)
    session.flush()
    assert overdue(session, utc_now()) == []
    session.delete(held)
    relays.pause(session, 1, "by hand")
    session.flush()
    assert overdue(session, utc_now()) == []
    relays.resume(session, 1)
    mailing.state = MailingState.PAUSED
    session.flush()
    assert overdue(session, utc_now()) == []
