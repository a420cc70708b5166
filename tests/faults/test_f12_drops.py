"""F12: a drop after the dot is unknown and stays so; a drop at RCPT is tried again."""

from email_campaign.delivery.deliveries import DeliveryState
from tests.delivery.conftest import STEPS_TOO, Engine
from tests.tools.scripted_smtp import Rule, Script

pytestmark = STEPS_TOO

ACCEPTED, UNKNOWN = DeliveryState.ACCEPTED, DeliveryState.UNKNOWN


def test_f12_a_drop_after_the_dot_is_unknown_and_never_sent_again(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("dot", drop=True, first=1))
    mailing_id = engine_room.launch(3)
    assert engine_room.run(mailing_id) == {UNKNOWN: 3}
    assert len(engine_room.relay.log.bodies()) == 3


def test_f12_a_drop_within_the_body_is_unknown_too(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("body", drop=True, first=1))
    assert engine_room.run(engine_room.launch(2)) == {UNKNOWN: 2}


def test_f12_a_drop_at_rcpt_is_tried_again_and_burns_no_attempt(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("rcpt", drop=True, first=1))
    mailing_id = engine_room.launch(3)
    assert engine_room.run(mailing_id) == {ACCEPTED: 3}
    log = [(a["verdict"], a["spared"]) for a in engine_room.attempts(mailing_id)]
    assert log == [("deferred", True), ("accepted", False)] * 3


def test_f12_a_relay_that_always_hangs_up_gets_a_copy_once_more_and_no_oftener(
    engine_room: Engine, script: Script
) -> None:
    script.rules.append(Rule("dot", drop=True))
    mailing_id = engine_room.launch(1, unknown_policy="resend")
    engine_room.enrol(mailing_id)
    while not engine_room.is_settled(mailing_id):
        engine_room.send(engine_room.dispatch())
        engine_room.sweep()
    assert engine_room.states(mailing_id) == {UNKNOWN: 1}
    first, second = engine_room.relay.log.bodies()
    assert first.message_id == second.message_id
