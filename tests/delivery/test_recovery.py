"""What is found and mended after a worker, a message or a relay was lost."""

import threading
import time
from collections.abc import Callable

from email_campaign.campaigns.limits import RateLimit
from email_campaign.campaigns.mailings import UnknownPolicy
from email_campaign.clock import utc_now
from email_campaign.delivery import leases, relays, workers
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.relays import RelayState
from tests.delivery.conftest import Engine
from tests.tools.scripted_smtp import Rule, Script

ACCEPTED, REJECTED, UNKNOWN = DeliveryState.ACCEPTED, DeliveryState.REJECTED, DeliveryState.UNKNOWN
PENDING, SENDING = DeliveryState.PENDING, DeliveryState.SENDING


def test_a_late_result_resolves_what_a_dead_worker_left_unknown(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("dot", delay_seconds=1.0, first=1))
    mailing_id = engine_room.launch(1)
    engine_room.enrol(mailing_id)
    sending = threading.Thread(target=engine_room.send, args=[engine_room.dispatch()])
    sending.start()
    engine_room.relay.log.wait_for("body-complete", 1)
    _take_everything_back(engine_room)
    assert engine_room.states(mailing_id) == {UNKNOWN: 1}
    sending.join()
    assert engine_room.run(mailing_id) == {ACCEPTED: 1}
    log = [(a["phase"], a["verdict"], a["late"]) for a in engine_room.attempts(mailing_id)]
    assert log == [("sweep", "unknown", False), ("body", "accepted", True)]
    assert len(engine_room.relay.log.bodies()) == 1


def test_pending_rows_of_a_dead_worker_are_dealt_again_and_go_out_once(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("rcpt", delay_seconds=1.0, first=1))
    mailing_id = engine_room.launch(1)
    engine_room.enrol(mailing_id)
    sending = threading.Thread(target=engine_room.send, args=[engine_room.dispatch()])
    sending.start()
    engine_room.relay.log.wait_for("connect", 1)
    _take_everything_back(engine_room)
    assert engine_room.states(mailing_id) == {PENDING: 1}
    sending.join()  # it came to its INTENT with an old token, and cut the line without the dot
    assert engine_room.relay.log.bodies() == []
    assert engine_room.run(mailing_id) == {ACCEPTED: 1}


def test_with_the_policy_resend_an_unknown_copy_goes_out_exactly_once_more(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("dot", drop=True, first=1))
    mailing_id = engine_room.launch(1, unknown_policy=UnknownPolicy.RESEND)
    engine_room.enrol(mailing_id)
    while not engine_room.is_settled(mailing_id):
        engine_room.send(engine_room.dispatch())
        engine_room.sweep()
    assert engine_room.states(mailing_id) == {ACCEPTED: 1}
    first, second = engine_room.relay.log.bodies()
    assert first.message_id == second.message_id


def test_a_worker_that_stops_beating_is_dead_after_so_many_looks_and_no_sooner(engine_room: Engine) -> None:
    with engine_room.factory.begin() as session:
        silent = workers.register(session, host="gone", pid=1, now=utc_now())
    looks = 0
    while True:
        with engine_room.factory.begin() as session:
            looks += 1
            if silent in workers.look(session, 6):
                break
    assert looks == 7  # the first look sees a beat that it does not know


def test_an_outage_in_which_nobody_looks_kills_nobody(engine_room: Engine) -> None:
    with engine_room.factory.begin() as session:
        worker = workers.register(session, host="slow", pid=1, now=utc_now())
        for _ in range(20):
            assert workers.beat(session, worker, rate_per_second=None, connection_count=0)
            assert worker not in workers.look(session, 6)


def test_a_worker_declared_dead_goes_on_as_a_new_one(engine_room: Engine) -> None:
    first_id = engine_room.process.worker_id
    with engine_room.factory.begin() as session:
        workers.sign_off(session, first_id)
    deadline = time.monotonic() + 10
    while engine_room.process.worker_id == first_id:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert engine_room.run(engine_room.launch(3)) == {ACCEPTED: 3}


def test_a_lease_that_nobody_knows_of_is_given_back_by_the_beat(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(2)
    engine_room.enrol(mailing_id)
    slices = engine_room.dispatch()
    with engine_room.factory.begin() as session:  # as if the answer to this commit had been cut
        assert leases.take(session, slices[0], engine_room.process.worker_id, token=7)
    engine_room.send(slices)
    assert engine_room.run(mailing_id) == {ACCEPTED: 2}


def test_published_slices_that_were_lost_are_published_again(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(3)
    engine_room.enrol(mailing_id)
    assert len(engine_room.dispatch()) == 3  # and nobody ever gets these messages
    deadline = time.monotonic() + 10
    while not (again := engine_room.dispatch()):
        assert time.monotonic() < deadline
        engine_room.sweep()
    assert len(again) == 3
    engine_room.send(again)
    assert engine_room.run(mailing_id) == {ACCEPTED: 3}


def test_every_message_three_times_is_one_mail_each(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(20)
    engine_room.enrol(mailing_id)
    slices = engine_room.dispatch()
    engine_room.send(slices * 3)
    assert engine_room.run(mailing_id) == {ACCEPTED: 20}
    assert len(engine_room.relay.log.bodies()) == 20


def test_a_relay_that_is_not_there_costs_no_attempt_and_is_tried_again(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(5)
    engine_room.enrol(mailing_id)
    engine_room.relay.refuse()
    engine_room.send(engine_room.dispatch())
    assert engine_room.states(mailing_id) == {PENDING: 5}
    assert engine_room.attempts(mailing_id) == []
    with engine_room.factory() as session:
        relay = relays.get(session, 1)
    assert relay.failure_count == 1
    assert relay.retry_at
    assert "refused" in relay.last_error.lower() or "connect" in relay.last_error.lower()
    engine_room.relay.accept()
    assert engine_room.run(mailing_id) == {ACCEPTED: 5}
    with engine_room.factory() as session:
        assert relays.get(session, 1).failure_count == 0


def test_refused_credentials_pause_the_relay_and_touch_nobody(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("mail", reply=b"530 5.7.0 authentication required"))
    mailing_id = engine_room.launch(3)
    engine_room.enrol(mailing_id)
    engine_room.send(engine_room.dispatch())
    with engine_room.factory() as session:
        relay = relays.get(session, 1)
    assert relay.state is RelayState.PAUSED
    assert "530" in relay.state_reason
    assert engine_room.dispatch() == []


def test_a_relay_that_hangs_up_after_some_mails_is_no_failure(engine_room: Engine, script: Script) -> None:
    script.messages_per_connection = 3
    assert engine_room.run(engine_room.launch(20)) == {ACCEPTED: 20}
    assert [a["number"] for a in engine_room.attempts(1)] == [1] * 20


def test_a_421_before_the_body_burns_no_attempt(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("rcpt", reply=b"421 4.7.0 try again later", close=True, first=1))
    mailing_id = engine_room.launch(1)
    assert engine_room.run(mailing_id) == {ACCEPTED: 1}
    assert [(a["verdict"], a["spared"]) for a in engine_room.attempts(mailing_id)] == [
        ("deferred", True),
        ("accepted", False),
    ]


def test_a_campaign_limit_holds_on_the_wire_and_across_processes(make_engine: Callable[..., Engine]) -> None:
    first, second = make_engine(), make_engine()
    mailing_id = first.launch(60, limits=(RateLimit(20, 1),))
    first.enrol(mailing_id)
    other = threading.Thread(target=second.run, args=[mailing_id])
    other.start()
    assert first.run(mailing_id) == {ACCEPTED: 60}
    other.join()
    # The grant precedes the body by a network delay that varies: one mail a connection may slip into the next window.
    assert first.relay.log.most_in_a_window(1.0) <= 20 + 8


def _take_everything_back(engine: Engine) -> None:
    """What the sweep does to the slices of a worker that is dead."""
    with engine.factory() as session:
        held = workers.leases_of(session, engine.process.worker_id)
    for lost in held:
        with engine.factory.begin() as session:
            leases.take_back(session, lost, why="The worker is gone.")
