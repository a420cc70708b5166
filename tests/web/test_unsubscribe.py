"""The unsubscribe link of a mail."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from email_campaign.audience.contacts import erase_contact
from email_campaign.audience.subscriptions import Change, Subscription, SubscriptionEvent
from email_campaign.campaigns.mailings import MailingState
from email_campaign.db import SessionFactory
from email_campaign.delivery.compose import unsubscribe_url
from email_campaign.delivery.deliveries import Delivery
from email_campaign.delivery.orders import derive_keys
from email_campaign.settings import Settings
from tests import factories

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def delivery(session_factory: SessionFactory) -> Delivery:
    """A copy for a contact on two lists of the mailing, and on another one."""
    with session_factory.begin() as session:
        lists = [factories.make_list(session, name) for name in ("Garden <b>", "Plants", "Other")]
        contact = factories.make_contact(session)
        for mailing_list in lists:
            factories.make_subscription(session, contact, mailing_list)
        campaign = factories.make_campaign(session, lists=lists[:2], state=MailingState.FINISHED)
        return factories.make_delivery(session, campaign.mailing, contact)


@pytest.fixture
def path(delivery: Delivery, settings: Settings) -> str:
    """The path of the copy's link."""
    return unsubscribe_url("", derive_keys(settings).unsubscribe, delivery.mailing_id, delivery.position)


def _states(session: Session) -> list[str]:
    return [state.value for state in session.scalars(select(Subscription.state).order_by(Subscription.list_id))]


def test_looking_at_the_link_changes_nothing(client: TestClient, path: str, session: Session) -> None:
    page = client.get(path)
    assert page.status_code == 200
    assert "Garden &lt;b&gt;" in page.text
    assert "Plants" in page.text
    assert "Other" not in page.text
    assert page.text.count("<button") == 1
    assert client.head(path).status_code == 200
    assert _states(session) == ["confirmed"] * 3


def test_one_post_without_cookie_or_sign_in_unsubscribes_from_the_lists_of_the_mailing(
    client: TestClient, path: str, delivery: Delivery, session: Session
) -> None:
    answer = client.post(path, data=ONE_CLICK, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert "You are unsubscribed" in answer.text
    assert _states(session) == ["unsubscribed", "unsubscribed", "confirmed"]
    events = session.scalars(select(SubscriptionEvent).order_by(SubscriptionEvent.list_id)).all()
    assert [(event.state, event.source, event.detail) for event in events] == [
        (Change.UNSUBSCRIBED, "link", f"mailing {delivery.mailing_id}")
    ] * 2


def test_a_repeated_link_is_answered_with_200_and_writes_nothing(
    client: TestClient, path: str, session: Session
) -> None:
    client.post(path)
    repeated = client.post(path)
    assert repeated.status_code == 200
    assert "Nothing to do" in repeated.text
    assert "<button" not in client.get(path).text
    assert len(session.scalars(select(SubscriptionEvent)).all()) == 2


def test_the_link_of_somebody_who_was_erased_is_answered_with_200(
    client: TestClient, path: str, delivery: Delivery, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        erase_contact(session, delivery.contact_id or 0)
    assert client.post(path, data=ONE_CLICK).status_code == 200
    assert client.get(path).status_code == 200


def test_the_link_of_a_test_is_answered_with_200(
    client: TestClient, session_factory: SessionFactory, settings: Settings
) -> None:
    with session_factory.begin() as session:
        mailing = factories.make_mailing(session, recipient_address="boss@example.com")
        copy = factories.make_delivery(session, mailing)
    url = unsubscribe_url("", derive_keys(settings).unsubscribe, copy.mailing_id, copy.position)
    assert "Nothing to do" in client.get(url).text
    assert client.post(url).status_code == 200


@pytest.mark.parametrize(
    "change", [lambda path: path[:-1], lambda path: path + "A", lambda _: "/u/x", lambda _: "/u/é"]
)
def test_a_link_that_we_did_not_make_is_404_to_look_at_and_200_to_post(
    client: TestClient, path: str, session: Session, change: object
) -> None:
    assert callable(change)
    wrong = change(path)
    page = client.get(wrong)
    assert page.status_code == 404
    assert "This link is not known" in page.text
    assert client.post(wrong, data=ONE_CLICK).status_code == 200
    assert _states(session) == ["confirmed"] * 3


def test_the_link_of_a_mailing_that_is_gone_is_not_known(client: TestClient, settings: Settings) -> None:
    url = unsubscribe_url("", derive_keys(settings).unsubscribe, 999, 1)
    assert client.get(url).status_code == 404
    assert client.post(url).status_code == 200
