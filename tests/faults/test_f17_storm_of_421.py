"""F17: a storm of 421 and a cap of messages per connection: nobody is rejected, the rate falls and recovers."""

import time
from collections.abc import Callable
from datetime import timedelta

from email_campaign.clock import utc_now
from email_campaign.delivery import relays, slowing
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.relays import Relay
from tests.delivery.conftest import Engine
from tests.faults.waiting import wait_until
from tests.tools.scripted_smtp import Rule, Script

ACCEPTED = DeliveryState.ACCEPTED


def test_f17_a_storm_of_421_rejects_nobody(engine_room: Engine, script: Script) -> None:
    script.messages_per_connection = 3
    script.rules.append(Rule("mail", reply=b"421 4.7.0 too busy", close=True, first=1))
    script.rules.append(Rule("rcpt", reply=b"421 4.7.0 too busy", close=True, first=2))
    mailing_id = engine_room.launch(20)
    assert engine_room.run(mailing_id) == {ACCEPTED: 20}
    attempts = engine_room.attempts(mailing_id)
    assert {a["spared"] for a in attempts if a["verdict"] == "deferred"} == {True}
    assert max(len(events) for events in engine_room.relay.log.bodies_by_recipient().values()) == 1


def test_f17_a_cap_of_messages_costs_nobody_an_attempt(engine_room: Engine, script: Script) -> None:
    script.messages_per_connection = 3
    mailing_id = engine_room.launch(30)
    assert engine_room.run(mailing_id) == {ACCEPTED: 30}
    assert {a["number"] for a in engine_room.attempts(mailing_id)} == {1}


def test_f17_the_rate_falls_in_a_storm_and_recovers(make_engine: Callable[..., Engine], script: Script) -> None:
    """A relay that takes 40 a second from an engine that would send hundreds (waits scaled from 5–600 to 0.2–10 s)."""
    engine = make_engine(send_connections=8, relay_slow_seconds=(0.2, 10.0))
    meter = _Meter(40)
    script.rules.append(Rule("rcpt", reply=b"421 4.7.0 too many messages", close=True, to=meter.is_too_much))
    mailing_id = engine.launch(250)
    assert engine.run(mailing_id) == {ACCEPTED: 250}
    relay = _relay(engine)
    assert relay.slowed_at is not None
    assert relay.slowed_reason == "421 4.7.0 too many messages"
    first, last = meter.turned_away[0], meter.taken[-1]
    third = (last - first) / 3
    early, late = (_between(meter.turned_away, first + n * third, first + (n + 1) * third) for n in (0, 2))
    assert early > 2 * late, "what is turned away falls"
    assert slowing.rate_now(relay, relay.slowed_at) == relay.slowed_rate
    assert (relay.slowed_rate or 0) < (relay.slowed_from or 0)
    assert relay.slowed_until is not None
    assert slowing.rate_now(relay, relay.slowed_until) is None, "and recovers by itself"


def test_f17_the_slowed_rate_holds_on_the_wire(engine_room: Engine) -> None:
    with engine_room.factory.begin() as session:
        relay = relays.get(session, 1)
        relay.slowed_rate, relay.slowed_from, relay.slowed_at = 20.0, 20.0, utc_now()
        relay.slowed_until = utc_now() + timedelta(minutes=10)
    assert engine_room.run(engine_room.launch(50)) == {ACCEPTED: 50}
    assert engine_room.relay.log.most_in_a_window(1.0) <= 20 + 8


def test_f17_one_domain_that_says_too_much_does_not_slow_the_relay(engine_room: Engine, script: Script) -> None:
    assert engine_room.run(engine_room.launch(40, domains=2)) == {ACCEPTED: 40}
    script.rules.append(Rule("dot", reply=b"450 4.7.28 too much for us", to=lambda to: to.endswith("0.org"), first=1))
    assert engine_room.run(engine_room.launch(40, domains=2)) == {ACCEPTED: 40}
    assert _relay(engine_room).slowed_at is None
    script.rules[:] = [Rule("dot", reply=b"450 4.7.28 too much for us", first=1)]
    assert engine_room.run(engine_room.launch(30, domains=2)) == {ACCEPTED: 30}
    wait_until(lambda: _relay(engine_room).slowed_at)


def test_f17_whom_alone_the_relay_refuses_burns_after_three_in_a_row(engine_room: Engine, script: Script) -> None:
    first = engine_room.launch(1)
    script.rules.append(Rule("rcpt", reply=b"421 4.3.0 not you", close=True, first=5))
    assert engine_room.run(first) == {ACCEPTED: 1}
    assert [a["spared"] for a in engine_room.attempts(first)] == [True] * 5 + [False], "nobody else passes"
    second = engine_room.launch(1)
    script.rules.clear()
    assert engine_room.run(engine_room.launch(1)) == {ACCEPTED: 1}
    script.rules.append(Rule("rcpt", reply=b"421 4.3.0 not you", close=True, first=8))
    assert engine_room.run(second) == {ACCEPTED: 1}
    spared = [a["spared"] for a in engine_room.attempts(second)]
    assert spared == [True, True, True, False, True, True, True, False, False], "three are free after each that burnt"


class _Meter:
    """A relay's own limit: so many a second."""

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self.taken: list[float] = []
        self.turned_away: list[float] = []

    def is_too_much(self, _recipient: str) -> bool:
        now = time.monotonic()
        if _between(self.taken, now - 1.0, now) < self.per_second:
            self.taken.append(now)
            return False
        self.turned_away.append(now)
        return True


def _between(times: list[float], first: float, last: float) -> int:
    return sum(first <= at <= last for at in times)


def _relay(engine: Engine) -> Relay:
    with engine.factory() as session:
        return relays.get(session, 1)
