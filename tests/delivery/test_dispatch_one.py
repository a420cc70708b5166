"""Mailings of one go out of turn, and once."""

from sqlalchemy import func, select

from email_campaign.campaigns import launching
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.launching import Recipient
from email_campaign.clock import utc_now
from email_campaign.delivery import dispatch, relays
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.dispatch import Published
from email_campaign.delivery.windows import DISPATCH_LOCK
from tests.delivery.conftest import Engine


def _test_mail(engine: Engine) -> int:
    campaign_id = engine.launch(1)
    with engine.factory.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        recipient = Recipient("ada@example.org", {"name": "Ada"})
        mailing = launching.send_test(session, campaign, recipient, actor="Ada", now=utc_now())
    engine.enrol(mailing.id)
    return mailing.id


def _dispatch_one(engine: Engine, mailing_id: int) -> Published | None:
    with engine.factory.begin() as session:
        return dispatch.dispatch_one(session, mailing_id, engine.settings, utc_now())


def test_a_mailing_of_one_is_handed_out_while_another_transaction_deals_out_the_rest(engine_room: Engine) -> None:
    mailing_id = _test_mail(engine_room)
    with engine_room.factory.begin() as dealing:
        dealing.execute(select(func.pg_advisory_xact_lock(DISPATCH_LOCK)))
        window = _dispatch_one(engine_room, mailing_id)
    assert window
    assert window.is_system
    engine_room.send(list(window.slice_ids))
    assert engine_room.states(mailing_id) == {DeliveryState.ACCEPTED: 1}
    assert _dispatch_one(engine_room, mailing_id) is None


def test_a_mailing_of_one_waits_with_all_others_for_a_relay_that_fails(engine_room: Engine) -> None:
    mailing_id = _test_mail(engine_room)
    with engine_room.factory.begin() as session:
        relays.note_failure(session, 1, "gone", waits=(60.0, 60.0), now=utc_now())
    assert _dispatch_one(engine_room, mailing_id) is None
