"""F19: one poisonous recipient (a render error, a reply with NUL and bad UTF-8) costs only itself."""

import pytest
from sqlalchemy import text

from email_campaign.campaigns.mailings import MailingState
from email_campaign.delivery.deliveries import DeliveryState
from tests.delivery.conftest import Engine
from tests.tools.scripted_smtp import Rule, Script

ACCEPTED, REJECTED = DeliveryState.ACCEPTED, DeliveryState.REJECTED


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.faults)])
def test_f19_one_contact_that_cannot_be_rendered_is_rejected_alone(engine_room: Engine, count: int) -> None:
    mailing_id = engine_room.launch(count, html="<p>{{ city }}</p>", attributes={"city": "Bonn"})
    with engine_room.factory.begin() as session:
        session.execute(text("UPDATE contacts SET attributes = '{}' WHERE id = (SELECT min(id) + 5 FROM contacts)"))
    assert engine_room.run(mailing_id) == {ACCEPTED: count - 1, REJECTED: 1}
    assert engine_room.campaign(mailing_id).mailing.state is MailingState.FINISHED


def test_f19_an_address_that_no_header_can_carry_is_rejected_alone(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(10)
    with engine_room.factory.begin() as session:  # as an import of another program may have left it
        session.execute(
            text("UPDATE contacts SET address = '\"a b\"@example.org' WHERE id = (SELECT min(id) FROM contacts)")
        )
    assert engine_room.run(mailing_id) == {ACCEPTED: 9, REJECTED: 1}
    rejected = [a for a in engine_room.attempts(mailing_id) if a["verdict"] == "rejected"]
    assert [a["phase"] for a in rejected] == ["render"]
    assert "cannot stand in a header" in str(rejected[0]["reply"])


@pytest.mark.parametrize("step", ["rcpt", "dot"])
def test_f19_a_reply_with_nul_and_bad_utf8_is_stored_readably(engine_room: Engine, script: Script, step: str) -> None:
    script.rules.append(
        Rule(step, to=lambda address: "example0" in address, reply=b"550 5.7.1 \x00\xff\xfe\x1b[31m\xf0\x9f\x92 no")
    )
    mailing_id = engine_room.launch(40, domains=40)
    assert engine_room.run(mailing_id) == {ACCEPTED: 39, REJECTED: 1}
    (rejected,) = [a for a in engine_room.attempts(mailing_id) if a["verdict"] == "rejected"]
    assert (rejected["code"], rejected["enhanced_code"]) == (550, "5.7.1")
    assert "could not be stored" not in str(rejected["reply"])
    assert str(rejected["reply"]).isprintable()
