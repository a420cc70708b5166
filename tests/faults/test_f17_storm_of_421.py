"""F17: a storm of 421 and a cap of messages per connection: nobody is rejected, everybody gets the mail."""

from email_campaign.delivery.deliveries import DeliveryState
from tests.delivery.conftest import Engine
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
