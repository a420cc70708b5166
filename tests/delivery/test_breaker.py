"""A campaign that is refused because of its sender is paused, and one whose recipients are at fault is not."""

import time

import pytest
from sqlalchemy import text

from email_campaign.campaigns import campaigns
from email_campaign.campaigns.mailings import MailingEvent, MailingState
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.reports.queries import timeline_of
from tests.delivery.conftest import Engine
from tests.tools.scripted_smtp import Rule, Script


@pytest.mark.parametrize(
    "reply", [b"550 5.7.1 <ada@example.com> blocked, see our policy", b"552 5.3.4 message too big for system"]
)
def test_refusals_of_the_sender_over_several_domains_pause_the_campaign(
    engine_room: Engine, script: Script, reply: bytes
) -> None:
    script.rules.append(Rule("dot", reply=reply))
    mailing_id = engine_room.launch(90, domains=4)
    engine_room.enrol(mailing_id)
    _send_to_the_end(engine_room, engine_room.dispatch()[:30], mailing_id, DeliveryState.REJECTED)
    engine_room.sweep()
    campaign = engine_room.campaign(mailing_id)
    assert campaign.mailing.state is MailingState.PAUSED
    with engine_room.factory() as session:
        told = session.scalars(timeline_of(mailing_id).order_by(MailingEvent.id.desc())).first()
    assert told is not None
    said = reply.decode().replace("<ada@", "<…@")
    assert told.detail.endswith(f"such as: {said}"), "no address outlives"
    engine_room.sweep()
    script.rules.clear()
    with engine_room.factory.begin() as session:
        campaigns.resume(session, mailing_id, actor="Ada")
    engine_room.sweep()  # what was refused before does not count again
    states = engine_room.run(mailing_id)
    assert states == {DeliveryState.ACCEPTED: 60, DeliveryState.REJECTED: 30}


def test_what_went_well_before_does_not_hide_it(engine_room: Engine, script: Script) -> None:
    mailing_id = engine_room.launch(240, domains=4)
    engine_room.enrol(mailing_id)
    slices = engine_room.dispatch()
    _send_to_the_end(engine_room, slices[:150], mailing_id, DeliveryState.ACCEPTED)
    with engine_room.factory.begin() as session:  # hours ago
        session.execute(text("UPDATE attempts SET finished_at = finished_at - interval '2 hours'"))
    script.rules.append(Rule("dot", reply=b"550 5.7.1 blocked, see our policy"))
    _send_to_the_end(engine_room, slices[150:174], mailing_id, DeliveryState.REJECTED)
    engine_room.sweep()
    assert 20 <= engine_room.states(mailing_id)[DeliveryState.REJECTED] < 0.2 * 150
    assert engine_room.campaign(mailing_id).mailing.state is MailingState.PAUSED


def test_refusals_of_one_domain_do_not_pause_it(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("dot", reply=b"550 5.7.1 blocked, see our policy"))
    mailing_id = engine_room.launch(30)
    engine_room.enrol(mailing_id)
    engine_room.send(engine_room.dispatch())
    engine_room.sweep()
    assert engine_room.campaign(mailing_id).mailing.state is not MailingState.PAUSED


def _send_to_the_end(engine: Engine, slices: list[int], mailing_id: int, state: DeliveryState) -> None:
    """A process that a busy machine kept from its beat puts copies back; they are sent all the same."""
    deadline = time.monotonic() + 30
    while engine.states(mailing_id).get(state, 0) < len(slices):
        assert time.monotonic() < deadline, engine.states(mailing_id)
        engine.send(slices)
