"""F18: an outage of the relay (waits scaled from 5–300 s to 0.1–1 s): the breaker opens, no attempts are consumed,
no storm of connects, and whoever waited goes on as soon as one mail went through."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from email_campaign.clock import utc_now
from email_campaign.delivery import holds, relays
from email_campaign.delivery.deliveries import DeliveryState
from tests.delivery.conftest import Engine
from tests.faults.waiting import wait_until
from tests.tools.scripted_smtp import Rule, Script

ACCEPTED = DeliveryState.ACCEPTED


@pytest.fixture
def engines(make_engine: Callable[..., Engine]) -> tuple[Engine, Engine]:
    """Two send processes."""
    return make_engine(send_connections=4), make_engine(send_connections=4)


def test_f18_an_outage_consumes_no_attempt_and_brings_no_storm(engines: tuple[Engine, Engine], script: Script) -> None:
    first, second = engines
    script.rules.append(Rule("connect", reply=b"421 4.3.2 closed for repairs", close=True))
    mailing_id = first.launch(300)
    first.enrol(mailing_id)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        slices = first.dispatch()
        first.send(slices[::2])
        second.send(slices[1::2])
    assert first.attempts(mailing_id) == []
    # At first with all connections that there are; afterwards one probe for each wait that is over.
    waits = _failures(first)
    assert 3 <= waits <= 7
    assert len(first.relay.log.events("connect")) <= 2 * 4 + waits
    script.rules.clear()
    assert first.run(mailing_id) == {ACCEPTED: 300}
    assert {a["number"] for a in first.attempts(mailing_id)} == {1}
    wait_until(lambda: _failures(first) == 0)


def test_f18_the_failure_of_a_process_that_died_is_forgotten_by_the_others(engines: tuple[Engine, Engine]) -> None:
    survivor, _ = engines
    assert survivor.run(survivor.launch(3)) == {ACCEPTED: 3}
    wait_until(lambda: not survivor.process.relay._is_failing)
    with survivor.factory.begin() as session:  # as another process would, before it is killed
        relays.note_failure(session, 1, "no route", waits=(0.1, 1.0), now=utc_now())
    assert survivor.run(survivor.launch(20)) == {ACCEPTED: 20}
    wait_until(lambda: _send_one(survivor) and _failures(survivor) == 0)


def test_f18_slices_that_waited_for_the_relay_go_on_when_it_works_again(engines: tuple[Engine, Engine]) -> None:
    engine, _ = engines
    mailing_id = engine.launch(20)
    engine.enrol(mailing_id)
    engine.relay.refuse()
    engine.send(engine.dispatch())
    with engine.factory.begin() as session:  # as after a long outage
        session.execute(text("UPDATE slices SET due_at = now() + interval '5 minutes' WHERE id > 1"))
        session.execute(text("UPDATE slices SET due_at = NULL WHERE id = 1"))
    engine.relay.accept()
    assert engine.run(mailing_id) == {ACCEPTED: 20}


def test_f18_a_relay_that_is_tried_now_need_not_wait(engines: tuple[Engine, Engine]) -> None:
    for engine in engines:
        engine.relay.refuse()
        mailing_id = engine.launch(5)
        engine.enrol(mailing_id)
        engine.send(engine.dispatch())
        engine.relay.accept()
        far = utc_now() + timedelta(minutes=5)
        with engine.factory.begin() as session:  # as after a long outage
            relays.get(session, 1).retry_at = far
            session.execute(text("UPDATE slices SET due_at = :far"), {"far": far})
        engine.process.relay._away_until = far
        assert engine.dispatch() == [], "it waits"
        with engine.factory.begin() as session:
            relays.try_now(session, 1, utc_now())
            holds.release(session, "relay")
        probe = engine.dispatch()
        assert len(probe) == 1
        assert engine.dispatch() == [], "one probe at a time"
        engine.send(probe)
        wait_until(lambda: _failures(engine) == 0)  # noqa: B023 – called before the next turn
        assert engine.run(mailing_id) == {ACCEPTED: 5}


def test_f18_what_only_turns_mail_away_is_not_away(engines: tuple[Engine, Engine], script: Script) -> None:
    engine, _ = engines
    script.rules.append(Rule("mail", reply=b"421 4.7.0 not now", close=True, first=6))
    assert engine.run(engine.launch(3)) == {ACCEPTED: 3}
    with engine.factory() as session:
        relay = relays.get(session, 1)
        assert (relay.failure_count, relay.last_error) == (0, "")


def _failures(engine: Engine) -> int:
    with engine.factory() as session:
        return relays.get(session, 1).failure_count


def _send_one(engine: Engine) -> bool:
    return bool(engine.run(engine.launch(1)))
