"""Who left a list comes back by their own will or by somebody's reason, and every change is remembered."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from email_campaign.audience import contacts, lists, subscriptions
from email_campaign.audience.contacts import ContactDraft
from email_campaign.audience.subscriptions import AlreadyUnsubscribed, Source, SubscriptionState
from email_campaign.errors import Conflict, NotFound

NOW = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)
PENDING, CONFIRMED, UNSUBSCRIBED = SubscriptionState


@pytest.fixture
def contact_id(session: Session) -> int:
    return contacts.save_contact(session, b"k", ContactDraft("a@example.test"), NOW).contact.id


@pytest.fixture
def list_id(session: Session) -> int:
    return lists.create_list(session, "News", "", NOW).id


def history(session: Session, contact_id: int) -> list[tuple[str, str, str]]:
    events = session.scalars(subscriptions.history_of(contact_id))
    return [(event.state.value, event.source, event.detail) for event in events][::-1]


def test_the_double_opt_in_walk_is_remembered_step_by_step(session: Session, contact_id: int, list_id: int) -> None:
    subscriptions.subscribe(session, contact_id, list_id, PENDING, Source.FORM, "sign-up", NOW)
    confirmed_at = NOW + timedelta(hours=1)
    for _ in range(2):
        subscriptions.confirm(session, contact_id, list_id, Source.LINK, "", confirmed_at)
    assert subscriptions.unsubscribe(session, contact_id, [list_id, 99], Source.LINK, "campaign 7", NOW) == 1
    assert subscriptions.unsubscribe(session, contact_id, [list_id], Source.LINK, "campaign 7", NOW) == 0
    subscription = subscriptions.get_subscription(session, contact_id, list_id)
    assert (subscription.state, subscription.confirmed_at) == (UNSUBSCRIBED, confirmed_at)
    assert subscription.unsubscribed_at == NOW
    assert history(session, contact_id) == [
        (PENDING, "form", "sign-up"),
        (CONFIRMED, "link", ""),
        (UNSUBSCRIBED, "link", "campaign 7"),
    ]


@pytest.mark.parametrize(
    ("source", "detail", "lawful"),
    [
        (Source.FORM, "", True),
        (Source.HAND, "asked by phone", True),
        (Source.API, "asked by phone", True),
        (Source.HAND, " ", False),
        (Source.API, "", False),
        (Source.IMPORT, "a reason", False),
    ],
)
def test_who_left_comes_back_by_themselves_or_with_a_reason(
    session: Session, contact_id: int, list_id: int, source: Source, detail: str, lawful: bool
) -> None:
    subscriptions.subscribe(session, contact_id, list_id, CONFIRMED, Source.HAND, "", NOW)
    subscriptions.unsubscribe(session, contact_id, [list_id], Source.LINK, "", NOW)
    if lawful:
        back = subscriptions.subscribe(session, contact_id, list_id, CONFIRMED, source, detail, NOW)
        assert (back.state, back.unsubscribed_at) == (CONFIRMED, None)
    else:
        with pytest.raises(AlreadyUnsubscribed):
            subscriptions.subscribe(session, contact_id, list_id, CONFIRMED, source, detail, NOW)


def test_an_old_confirmation_link_brings_nobody_back(session: Session, contact_id: int, list_id: int) -> None:
    subscriptions.subscribe(session, contact_id, list_id, PENDING, Source.FORM, "", NOW)
    subscriptions.unsubscribe(session, contact_id, [list_id], Source.LINK, "", NOW)
    with pytest.raises(AlreadyUnsubscribed):
        subscriptions.confirm(session, contact_id, list_id, Source.LINK, "", NOW)


def test_a_confirmed_one_never_falls_back_to_pending(session: Session, contact_id: int, list_id: int) -> None:
    subscriptions.subscribe(session, contact_id, list_id, CONFIRMED, Source.HAND, "", NOW)
    kept = subscriptions.subscribe(session, contact_id, list_id, PENDING, Source.FORM, "", NOW)
    assert kept.state is CONFIRMED
    assert len(history(session, contact_id)) == 1


def test_nobody_is_subscribed_as_unsubscribed(session: Session, contact_id: int, list_id: int) -> None:
    with pytest.raises(Conflict):
        subscriptions.subscribe(session, contact_id, list_id, UNSUBSCRIBED, Source.HAND, "", NOW)
    with pytest.raises(NotFound):
        subscriptions.confirm(session, contact_id, list_id, Source.LINK, "", NOW)
