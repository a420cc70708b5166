"""F15: a relay that hangs at RSET or QUIT after a 550 has still said 550; the next mail is neither late nor harmed."""

import time
from collections.abc import Callable

from email_campaign.delivery import relays
from email_campaign.delivery.deliveries import DeliveryState
from tests.delivery.conftest import STEPS_TOO, Engine
from tests.tools.scripted_smtp import Rule, Script

pytestmark = STEPS_TOO

ACCEPTED, REJECTED = DeliveryState.ACCEPTED, DeliveryState.REJECTED


def test_f15_a_550_is_recorded_although_the_relay_hangs_at_rset_and_quit(
    make_engine: Callable[..., Engine], script: Script
) -> None:
    engine = make_engine(send_connections=1, smtp_command_timeout_seconds=0.3)
    script.rules.append(Rule("rcpt", to=lambda address: "example0" in address, reply=b"550 5.1.1 no such user"))
    script.rules.append(Rule("rset", delay_seconds=60))
    script.rules.append(Rule("quit", delay_seconds=60))
    mailing_id = engine.launch(6, domains=2)
    assert engine.run(mailing_id) == {ACCEPTED: 3, REJECTED: 3}
    rejected = [(a["phase"], a["code"]) for a in engine.attempts(mailing_id) if a["verdict"] == "rejected"]
    assert rejected == [("rcpt", 550)] * 3
    # Who came after a hanging RSET was not the cause of it, and the relay did not fail.
    assert [a["number"] for a in engine.attempts(mailing_id)] == [1] * 6
    with engine.factory() as session:
        assert relays.get(session, 1).failure_count == 0


def test_f15_a_relay_that_hangs_at_quit_does_not_stop_the_beat(
    make_engine: Callable[..., Engine], script: Script
) -> None:
    engine = make_engine(smtp_idle_seconds=1.0, worker_beat_seconds=0.2, send_connections=8)
    script.rules.append(Rule("quit", delay_seconds=60))
    script.rules.append(Rule("dot", delay_seconds=0.2))
    assert engine.run(engine.launch(8)) == {ACCEPTED: 8}
    assert engine.process.pool.open_count >= 4
    deadline = time.monotonic() + 9.0  # eight farewells of 2 s, one after the other, would take 16 s
    while engine.process.pool.open_count:
        assert engine.process.may_start_body() or engine.process.pool.open_count
        assert time.monotonic() < deadline
        time.sleep(0.01)
