"""The send log's queries, where they are clever."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from email_campaign.audience.contacts import erase_contact
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import MailingState
from email_campaign.delivery.deliveries import Delivery, DeliveryState
from email_campaign.delivery.windows import Slice, Stretch
from email_campaign.reports.queries import Filters, counts_of, deliveries_of, read_copies, reasons_of
from tests import factories
from tests.factories import ADDRESS_KEY


def _campaign(session: Session, states: list[DeliveryState]) -> Campaign:
    campaign = factories.make_campaign(session, state=MailingState.SENDING)
    for state in states:
        factories.make_delivery(session, campaign.mailing, factories.make_contact(session), state=state)
    return campaign


def _positions(session: Session, campaign: Campaign, state: DeliveryState) -> list[int]:
    log = deliveries_of(campaign.id, Filters(state=state), ADDRESS_KEY)
    return [delivery.position for delivery in session.scalars(log.order_by(Delivery.position))]


def test_work_is_found_where_it_is_and_what_is_done_with_is_not_read(session: Session) -> None:
    done, waiting, flying = DeliveryState.ACCEPTED, DeliveryState.PENDING, DeliveryState.SENDING
    campaign = _campaign(session, [done] * 20 + [waiting, flying, waiting, done, waiting, waiting])
    mailing_id = campaign.id
    session.add_all(
        [
            Slice(
                mailing_id=mailing_id, first_position=1, last_position=20, row_count=20, lane=0, closed_at=func.now()
            ),
            Slice(mailing_id=mailing_id, positions=[21, 22, 23], row_count=3, lane=0),
            Stretch(mailing_id=mailing_id, first_position=1, last_position=26, frontier=25, lane=0),
        ]
    )
    session.flush()
    assert _positions(session, campaign, waiting) == [21, 23, 25, 26]
    assert _positions(session, campaign, flying) == [22]
    plan = deliveries_of(mailing_id, Filters(state=waiting), ADDRESS_KEY)
    assert "frontier" in str(plan)


def test_a_mailing_without_open_work_has_nothing_pending(session: Session) -> None:
    campaign = _campaign(session, [DeliveryState.ACCEPTED] * 3)
    assert _positions(session, campaign, DeliveryState.PENDING) == []
    assert _positions(session, campaign, DeliveryState.ACCEPTED) == [1, 2, 3]


def test_an_erased_person_keeps_a_line_without_a_name_and_is_found_by_the_whole_address(session: Session) -> None:
    campaign = factories.make_campaign(session, state=MailingState.FINISHED)
    contact = factories.make_contact(session, "ada@example.org", name="Ada")
    factories.make_delivery(session, campaign.mailing, contact, state=DeliveryState.ACCEPTED)
    erase_contact(session, contact.id)
    log = deliveries_of(campaign.id, Filters(term="Ada@Example.org"), ADDRESS_KEY)
    (copy,) = read_copies(session, session.scalars(log).all())
    assert (copy.address, copy.name, copy.id) == (None, "", f"{campaign.id}-1")


def test_the_counts_of_several_mailings_are_read_at_once_and_are_whole(session: Session) -> None:
    first = _campaign(session, [DeliveryState.ACCEPTED, DeliveryState.REJECTED])
    second = _campaign(session, [DeliveryState.PENDING])
    empty = _campaign(session, [])
    counts = counts_of(session, [first.id, second.id, empty.id])
    assert {mailing_id: sum(states.values()) for mailing_id, states in counts.items()} == {
        first.id: 2,
        second.id: 1,
        empty.id: 0,
    }
    assert all(set(states) == set(DeliveryState) for states in counts.values())


def test_cancelled_copies_are_one_reason_and_all_reasons_add_up(session: Session) -> None:
    campaign = _campaign(session, [DeliveryState.ACCEPTED, DeliveryState.CANCELLED, DeliveryState.CANCELLED])
    for reason in ("hard_bounce", "hard_bounce", "content"):
        factories.make_delivery(session, campaign.mailing, state=DeliveryState.REJECTED, reason=reason)
    reasons = reasons_of(session, campaign.id)
    assert [(one.state.value, one.reason, one.count) for one in reasons] == [
        ("cancelled", None, 2),
        ("rejected", "hard_bounce", 2),
        ("rejected", "content", 1),
    ]
    troubled = select(func.count()).where(Delivery.mailing_id == campaign.id, Delivery.trouble.is_not(None))
    assert sum(one.count for one in reasons) == session.scalar(troubled)
