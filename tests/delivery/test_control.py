"""Pause, cancel, launch and retry while mail is under way."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.audience.contacts import Contact
from email_campaign.audience.lists import MailingList
from email_campaign.audience.subscriptions import SubscriptionState
from email_campaign.campaigns import campaigns, launching
from email_campaign.campaigns.mailings import IllegalTransition, MailingState
from email_campaign.clock import utc_now
from email_campaign.delivery import enrol
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.retry_by_hand import Retryable, retry
from tests import factories
from tests.delivery.conftest import Engine
from tests.faults.waiting import wait_for_a_waiting_lock
from tests.tools.scripted_smtp import Rule, Script

ACCEPTED, REJECTED, UNKNOWN = DeliveryState.ACCEPTED, DeliveryState.REJECTED, DeliveryState.UNKNOWN
CANCELLED, SKIPPED = DeliveryState.CANCELLED, DeliveryState.SKIPPED


def test_fifty_launches_at_once_enrol_one_audience(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(30)
    refused = []

    def launch_again() -> None:
        try:
            with engine_room.factory.begin() as session:
                launching.launch(session, mailing_id, actor="somebody else", now=utc_now())
        except IllegalTransition:
            refused.append(True)

    def enrol_again() -> None:
        with engine_room.factory.begin() as session:
            enrol.enrol_page(session, mailing_id, engine_room.settings, utc_now())

    with ThreadPoolExecutor(8) as threads:
        for _ in range(25):
            threads.submit(launch_again)
            threads.submit(enrol_again)
    assert len(refused) == 25
    assert engine_room.run(mailing_id) == {ACCEPTED: 30}


def test_what_was_launched_once_is_never_launched_again(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(2)
    with engine_room.factory.begin() as session:
        campaigns.pause(session, mailing_id, actor="test")
    _refused_launch(engine_room, mailing_id)
    with engine_room.factory.begin() as session:
        campaigns.resume(session, mailing_id, actor="test")
    engine_room.run(mailing_id)
    launched_at = engine_room.campaign(mailing_id).mailing.launched_at
    _refused_launch(engine_room, mailing_id)
    after = engine_room.campaign(mailing_id).mailing
    assert (after.state, after.launched_at) == (MailingState.FINISHED, launched_at)


def test_after_pause_returns_no_body_begins_that_was_not_intended_before(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("data", delay_seconds=0.05))
    mailing_id = engine_room.launch(60)
    engine_room.enrol(mailing_id)
    sending = threading.Thread(target=engine_room.send, args=[engine_room.dispatch()])
    sending.start()
    engine_room.relay.log.wait_for("body-complete", 5)
    with engine_room.factory.begin() as session:
        campaigns.pause(session, mailing_id, actor="test")
    with engine_room.factory() as session:
        intended = session.scalar(text("SELECT count(*) FROM deliveries WHERE state IN ('sending', 'accepted')"))
    sending.join()
    assert len(engine_room.relay.log.events("body-begun")) <= (intended or 0) < 60
    with engine_room.factory.begin() as session:
        campaigns.resume(session, mailing_id, actor="test")
    assert engine_room.run(mailing_id) == {ACCEPTED: 60}


def test_cancel_leaves_nothing_pending_and_counts_everybody(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("data", delay_seconds=0.05))
    script.rules.append(Rule("rcpt", to=lambda address: "0@" in address, reply=b"451 later"))
    mailing_id = engine_room.launch(60)
    engine_room.enrol(mailing_id)
    sending = threading.Thread(target=engine_room.send, args=[engine_room.dispatch()])
    sending.start()
    engine_room.relay.log.wait_for("body-complete", 5)
    with engine_room.factory.begin() as session:
        campaigns.cancel(session, mailing_id, actor="test")
    sending.join()
    engine_room.sweep()
    states = engine_room.run(mailing_id)
    assert set(states) <= {ACCEPTED, CANCELLED}
    assert states[CANCELLED] > 0
    assert sum(states.values()) == 60


def test_a_campaign_cancelled_before_its_audience_was_enrolled_still_counts_it(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(5)
    with engine_room.factory.begin() as session:
        campaigns.cancel(session, mailing_id, actor="test")
    engine_room.enrol(mailing_id)
    engine_room.sweep()
    assert engine_room.run(mailing_id) == {CANCELLED: 5}
    assert engine_room.relay.log.bodies() == []


def test_who_unsubscribes_or_is_suppressed_a_moment_before_is_not_mailed(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(4)
    engine_room.enrol(mailing_id)
    slices = engine_room.dispatch()
    with engine_room.factory.begin() as session:
        session.execute(text("UPDATE subscriptions SET state = 'unsubscribed' WHERE contact_id = 1"))
        factories.make_suppression(session, session.get_one(Contact, 2).address)
        session.execute(text("DELETE FROM contacts WHERE id = 3"))
    engine_room.send(slices)
    assert engine_room.run(mailing_id) == {ACCEPTED: 1, SKIPPED: 3}
    with engine_room.factory() as session:
        reasons = session.scalars(
            text("SELECT reason FROM deliveries WHERE state = 'skipped' ORDER BY contact_id")
        ).all()
    assert reasons == ["unsubscribed", "suppressed", "erased"]


def test_suppressed_members_get_a_row_and_those_who_left_before_the_launch_do_not(engine_room: Engine) -> None:
    with engine_room.factory.begin() as session:
        the_list = factories.make_list(session)
        suppressed, gone, waiting = (factories.make_contact(session) for _ in range(3))
        factories.make_subscription(session, suppressed, the_list)
        factories.make_suppression(session, suppressed.address)
        factories.make_subscription(session, gone, the_list, SubscriptionState.UNSUBSCRIBED)
        factories.make_subscription(session, waiting, the_list, SubscriptionState.PENDING)
    assert engine_room.run(engine_room.launch(2, lists=[the_list])) == {ACCEPTED: 2, SKIPPED: 1}


def test_the_failed_can_be_tried_again(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("dot", reply=b"554 5.6.0 no", first=1))
    mailing_id = engine_room.launch(3)
    assert engine_room.run(mailing_id) == {REJECTED: 3}
    assert engine_room.campaign(mailing_id).mailing.state is MailingState.FINISHED
    with engine_room.factory.begin() as session:
        assert retry(session, mailing_id, Retryable.REJECTED, actor="Ada", now=utc_now()) == 3
    assert engine_room.campaign(mailing_id).mailing.state is MailingState.SENDING
    assert engine_room.run(mailing_id) == {ACCEPTED: 3}
    assert [a["number"] for a in engine_room.attempts(mailing_id)] == [1, 2] * 3
    assert len({event.message_id for event in engine_room.relay.log.bodies()}) == 3


def test_a_due_campaign_is_launched_once_however_many_look_for_it(engine_room: Engine) -> None:
    with engine_room.factory.begin() as session:
        campaign = factories.make_campaign(
            session, template=factories.make_template(session), lists=[_list_of_one(session)]
        )
        campaigns.schedule(session, campaign.id, utc_now() + timedelta(hours=1), actor="Ada", now=utc_now())
    assert launching.launch_due(engine_room.factory, utc_now()) == []
    later = utc_now() + timedelta(hours=2)
    with ThreadPoolExecutor(8) as threads:
        found = [threads.submit(launching.launch_due, engine_room.factory, later) for _ in range(8)]
    assert [mailing_id for future in found for mailing_id in future.result()] == [campaign.id]
    assert engine_room.run(campaign.id) == {ACCEPTED: 1}


@pytest.mark.parametrize("change", ["put off", "taken back"])
def test_a_due_campaign_that_somebody_changes_at_that_moment_is_not_launched(engine_room: Engine, change: str) -> None:
    later = utc_now() + timedelta(hours=2)
    with engine_room.factory.begin() as session:
        campaign = factories.make_campaign(
            session, template=factories.make_template(session), lists=[_list_of_one(session)]
        )
        campaigns.schedule(session, campaign.id, utc_now() + timedelta(hours=1), actor="Ada", now=utc_now())
    with ThreadPoolExecutor(1) as threads, engine_room.factory() as session:
        if change == "put off":
            campaigns.schedule(session, campaign.id, later + timedelta(days=1), actor="Ada", now=utc_now())
        else:
            campaigns.unschedule(session, campaign.id, actor="Ada")
        session.flush()
        found = threads.submit(launching.launch_due, engine_room.factory, later)
        wait_for_a_waiting_lock(engine_room.factory)
        session.commit()
        assert found.result() == []
    assert engine_room.campaign(campaign.id).mailing.launched_at is None


def test_a_due_campaign_that_cannot_go_says_why(engine_room: Engine) -> None:
    with engine_room.factory.begin() as session:
        campaign = factories.make_campaign(session, template=factories.make_template(session))
        campaigns.schedule(session, campaign.id, utc_now() + timedelta(hours=1), actor="Ada", now=utc_now())
    assert launching.launch_due(engine_room.factory, utc_now() + timedelta(hours=2)) == []
    failed = engine_room.campaign(campaign.id)
    assert failed.mailing.state is MailingState.FAILED
    assert "list" in str(failed.mailing.failure)


def _refused_launch(engine: Engine, mailing_id: int) -> None:
    with pytest.raises(IllegalTransition), engine.factory.begin() as session:
        launching.launch(session, mailing_id, actor="test", now=utc_now())


def _list_of_one(session: Session) -> MailingList:
    the_list = factories.make_list(session)
    factories.make_subscription(session, factories.make_contact(session), the_list)
    return the_list
