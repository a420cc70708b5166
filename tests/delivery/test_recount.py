"""Counters that went wrong are mended from the rows."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.delivery.deliveries import DeliveryState, states_of
from email_campaign.delivery.recount import recount
from tests import factories


def test_counters_that_drifted_are_set_to_what_the_rows_say(session: Session) -> None:
    mailing = factories.make_mailing(session)
    for state in (DeliveryState.ACCEPTED, DeliveryState.ACCEPTED, DeliveryState.REJECTED):
        factories.make_delivery(session, mailing, state=state)
    session.execute(text("UPDATE counters SET count = count + 5 WHERE state = 'accepted'"))
    session.execute(text("INSERT INTO counters VALUES (:m, 9, 'pending', 2)"), {"m": mailing.id})
    assert recount(session, mailing.id) == {"accepted": -5, "pending": -2}
    states = states_of(session, mailing.id)
    assert {state: n for state, n in states.items() if n} == {DeliveryState.ACCEPTED: 2, DeliveryState.REJECTED: 1}
    assert recount(session, mailing.id) == {}
