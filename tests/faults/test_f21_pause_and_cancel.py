"""F21: pause, resume and cancel under load: after the return no body without an INTENT committed before it; cancel
leaves nothing pending."""

import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Connection

from email_campaign.campaigns import campaigns
from email_campaign.campaigns.mailings import MailingState
from email_campaign.delivery import leases
from email_campaign.delivery.deliveries import DeliveryState
from tests.delivery.conftest import Engine
from tests.faults.tally import Tally
from tests.faults.waiting import scalar, wait_until
from tests.tools.scripted_smtp import Rule, Script

ACCEPTED, CANCELLED = DeliveryState.ACCEPTED, DeliveryState.CANCELLED
RECORDER_WAITS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'email-campaign recorder' AND wait_event_type = 'Lock' AND wait_event = 'transactionid'
"""
IN_FLIGHT = text("""
SELECT c.address FROM deliveries d JOIN contacts c ON c.id = d.contact_id
WHERE d.mailing_id = :m AND d.state IN ('sending', 'accepted')
""")


class Load:
    """Two send processes that take whatever there is to send until they are stopped."""

    def __init__(self, engines: list[Engine]) -> None:
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=[engine]) for engine in engines]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop, and wait for what is in hand."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _work(self, engine: Engine) -> None:
        while not self._stopped.is_set():
            engine.send(engine.dispatch())
            engine.sweep()


@pytest.mark.parametrize("count", [150, pytest.param(1500, marks=pytest.mark.faults)])
def test_f21_no_body_begins_after_a_pause_that_was_not_intended_before(
    make_engine: Callable[..., Engine], script: Script, tally: Tally, count: int
) -> None:
    engines = [make_engine(), make_engine()]
    first = engines[0]
    script.rules.append(Rule("data", delay_seconds=0.02))
    mailing_id = first.launch(count)
    first.enrol(mailing_id)
    load = Load(engines)
    try:
        for stop in range(1, 4):
            first.relay.log.wait_for("body-complete", stop * count // 5)
            with first.factory.begin() as session:
                campaigns.pause(session, mailing_id, actor="test")
            returned_at = time.time()
            tally.made()
            with first.factory() as session:
                intended = set(session.scalars(IN_FLIGHT, {"m": mailing_id}))
            time.sleep(0.3)  # what might slip through is given its time
            begun = [e.recipient for e in first.relay.log.events("body-begun") if e.at > returned_at]
            assert set(begun) <= intended
            assert len(begun) <= 2 * first.settings.send_connections
            with first.factory.begin() as session:
                campaigns.resume(session, mailing_id, actor="test")
        with first.factory.begin() as session:
            campaigns.cancel(session, mailing_id, actor="test")
    finally:
        load.stop()
    first.sweep()
    states = first.run(mailing_id)
    assert set(states) <= {ACCEPTED, CANCELLED}
    assert sum(states.values()) == count
    assert states[ACCEPTED] == len(first.relay.log.bodies())


def test_f21_a_pause_waits_for_the_intent_that_is_being_committed(engine_room: Engine, tally: Tally) -> None:
    mailing_id = engine_room.launch(1)
    engine_room.enrol(mailing_id)
    slices = engine_room.dispatch()

    def pause() -> None:
        with engine_room.factory.begin() as session:
            campaigns.pause(session, mailing_id, actor="test")

    with engine_room.factory.begin() as holder:  # the recorder has read the state, and waits for this row
        holder.execute(text("SELECT FROM deliveries WHERE mailing_id = :m FOR UPDATE"), {"m": mailing_id})
        sending = threading.Thread(target=engine_room.send, args=[slices])
        sending.start()
        wait_until(lambda: scalar(engine_room.factory, RECORDER_WAITS), 5)
        pausing = threading.Thread(target=pause)
        pausing.start()
        tally.made()
        pausing.join(0.5)
        assert pausing.is_alive()
        assert engine_room.relay.log.events("body-begun") == []
    pausing.join()
    sending.join()
    assert engine_room.states(mailing_id) == {ACCEPTED: 1}


def test_f21_a_copy_that_comes_back_while_its_campaign_is_cancelled_is_cancelled_too(
    engine_room: Engine, tally: Tally
) -> None:
    mailing_id = engine_room.launch(1)
    engine_room.enrol(mailing_id)
    (slice_id,) = engine_room.dispatch()
    with engine_room.factory.begin() as session:
        lease = leases.take(session, slice_id, 999, token=7)
        assert lease
        session.execute(text("UPDATE deliveries SET state = 'sending'"))
        session.execute(text("UPDATE counters SET state = 'sending' WHERE state = 'pending'"))
    with engine_room.factory.begin() as session:
        campaigns.cancel(session, mailing_id, actor="test")
    came_back: list[bool] = []

    def withdraw(connection: Connection, *_: object) -> None:
        """The worker withdraws its body and lets go, just after the sweep has looked at the row."""
        if not came_back and "UPDATE slices" in str(_[1]) and "closed_at = now()" in str(_[1]):
            came_back.append(True)
            with engine_room.factory.begin() as session:
                session.execute(text("UPDATE deliveries SET state = 'pending'"))
                session.execute(text("UPDATE counters SET state = 'pending' WHERE state = 'sending'"))
                leases.let_go(session, lease)

    bind = engine_room.factory.kw["bind"]
    event.listen(bind, "before_cursor_execute", withdraw)
    try:
        engine_room.sweep()
    finally:
        event.remove(bind, "before_cursor_execute", withdraw)
    assert came_back
    tally.made()
    engine_room.sweep()
    assert engine_room.run(mailing_id) == {CANCELLED: 1}
    assert engine_room.campaign(mailing_id).mailing.state is MailingState.CANCELLED
