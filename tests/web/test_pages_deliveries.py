"""The page of one copy: what happened to it, what was said, the mail itself, and why its reader is in the audience."""

import hashlib
import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.audience.lists import MailingList
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import Mailing, MailingKind, MailingState
from email_campaign.clock import utc_now
from email_campaign.content.versions import ContentVersion
from email_campaign.db import SessionFactory
from email_campaign.delivery.attempts import Attempt
from email_campaign.delivery.compose import Press
from email_campaign.delivery.deliveries import Delivery, DeliveryState
from email_campaign.delivery.orders import derive_keys, letterhead_of
from email_campaign.settings import Settings
from tests.factories import (
    make_attempt,
    make_campaign,
    make_contact,
    make_delivery,
    make_list,
    make_mailing,
    make_subscription,
    make_suppression,
    make_template,
)

HERE = "/admin/deliveries"
HTML = "<style>@media (prefers-color-scheme: dark) { p { color: #fff } }</style><p>Hello {{ name }}</p>"
Nudges = list[tuple[object, ...]]


def _copy(session: Session, state: DeliveryState, reason: str | None = None) -> tuple[Campaign, Delivery]:
    customers = make_list(session, "Customers")
    person = make_contact(session, "ada@example.org", name="Ada")
    make_subscription(session, person, customers, at=utc_now() - timedelta(days=3))
    template = make_template(session, html=HTML)
    campaign = make_campaign(session, name="Spring", template=template, lists=[customers], state=MailingState.FINISHED)
    return campaign, make_delivery(session, campaign.mailing, person, state=state, reason=reason)


def _send(session: Session, settings: Settings, delivery: Delivery, **verdict: Any) -> Attempt:
    """An attempt, accepted unless told otherwise, that kept what a send process keeps."""
    mailing = session.get_one(Mailing, delivery.mailing_id)
    version = session.get_one(ContentVersion, mailing.content_version_id)
    letterhead = letterhead_of(session, mailing, version, settings)
    attempt = make_attempt(session, delivery, **verdict)
    recipient = {"name": "Ada", "address": "ada@example.org"}
    press = Press(letterhead, derive_keys(settings))
    message = press.compose(delivery.position, recipient, attempt.started_at)
    attempt.message_sha256 = hashlib.sha256(message.data).digest()
    attempt.variables = message.variables
    return attempt


def test_an_accepted_copy_shows_the_bytes_that_were_sent(
    signed_in: TestClient, session_factory: SessionFactory, settings: Settings
) -> None:
    with session_factory.begin() as session:
        _, delivery = _copy(session, DeliveryState.ACCEPTED)
        make_attempt(
            session,
            delivery,
            verdict=DeliveryState.DEFERRED,
            code=450,
            enhanced_code="4.2.0",
            reply="Greylisted",
            phase="rcpt",
        )
        _send(session, settings, delivery)
    page = signed_in.get(f"{HERE}/{delivery.mailing_id}-1").text
    assert "Accepted by the relay at" in page
    assert "on the 2nd try." in page
    assert "450 4.2.0 Greylisted" in page
    assert "RCPT TO:&lt;ada@example.org&gt;" in page
    assert "These are the bytes that were sent" in page
    assert "Customers</a>: confirmed" in page
    frame = signed_in.get(f"{HERE}/{delivery.mailing_id}-1/mail")
    assert "<p>Hello Ada</p>" in frame.text
    assert frame.headers["Content-Security-Policy"].startswith("sandbox")
    assert "@media (max-width: 0) {" in frame.text
    (dark,) = re.findall(r'<iframe class="in-dark dark"[^>]* src="([^"]+)"', page)
    assert "@media (min-width: 0) {" in signed_in.get(dark).text


def test_a_mail_that_was_refused_before_it_was_handed_over_is_not_called_sent(
    signed_in: TestClient, session_factory: SessionFactory, settings: Settings
) -> None:
    with session_factory.begin() as session:
        _, delivery = _copy(session, DeliveryState.REJECTED)
        _send(session, settings, delivery, phase="rcpt")
    page = signed_in.get(f"{HERE}/{delivery.mailing_id}-1").text
    assert "This is the mail that was not sent" in page
    assert "These are the bytes that were sent" not in page


def test_a_mail_that_cannot_be_rebuilt_any_more_is_not_called_the_one_that_was_sent(
    signed_in: TestClient, session_factory: SessionFactory, settings: Settings
) -> None:
    with session_factory.begin() as session:
        campaign, delivery = _copy(session, DeliveryState.ACCEPTED)
        _send(session, settings, delivery)
    with session_factory.begin() as session:
        session.get_one(MailingList, campaign.mailing.list_ids[0]).name = "Renamed"
    page = signed_in.get(f"{HERE}/{delivery.mailing_id}-1").text
    assert "The very bytes cannot be rebuilt any more" in page
    assert "These are the bytes that were sent" not in page


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        (DeliveryState.PENDING, None, "Waiting for its turn."),
        (DeliveryState.SENDING, None, "On its way at this moment"),
        (DeliveryState.DEFERRED, "greylisted", "Not taken yet after 0 tries: greylisted"),
        (DeliveryState.REJECTED, "hard_bounce", "Rejected: no such address."),
        (DeliveryState.REJECTED, "expired", "Given up after 0 tries"),
        (DeliveryState.UNKNOWN, "timeout", "Nobody can say whether it arrived"),
        (DeliveryState.SKIPPED, "suppressed", "Not sent: the address is suppressed."),
        (DeliveryState.CANCELLED, "campaign_cancelled", "the campaign was cancelled before it went out"),
    ],
)
def test_every_state_is_told_in_a_sentence(
    signed_in: TestClient, session_factory: SessionFactory, state: DeliveryState, reason: str | None, words: str
) -> None:
    with session_factory.begin() as session:
        _, delivery = _copy(session, state, reason)
    page = signed_in.get(f"{HERE}/{delivery.mailing_id}-1").text
    assert words in page
    assert "Nothing was tried yet." in page


def test_a_suppressed_address_says_since_when_and_why(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        _, delivery = _copy(session, DeliveryState.REJECTED, "hard_bounce")
        make_attempt(
            session,
            delivery,
            verdict=DeliveryState.REJECTED,
            code=550,
            enhanced_code="5.1.1",
            reply="<b>no</b>",
            phase="rcpt",
        )
        make_suppression(session, "ada@example.org", detail="550 5.1.1 no such user")
    page = signed_in.get(f"{HERE}/{delivery.mailing_id}-1").text
    assert "The address is suppressed since" in page
    assert "<code>550 5.1.1 &lt;b&gt;no&lt;/b&gt;</code>" in page


def test_an_erased_contact_is_no_error(
    signed_in: TestClient, session_factory: SessionFactory, settings: Settings
) -> None:
    with session_factory.begin() as session:
        _, delivery = _copy(session, DeliveryState.ACCEPTED)
        _send(session, settings, delivery)
        delivery.contact_id = 987654321
    page = signed_in.get(f"{HERE}/{delivery.mailing_id}-1")
    assert page.status_code == 200
    assert "An erased contact" in page.text
    assert "The contact was erased" in page.text


def test_a_test_is_tried_again_and_a_campaigns_copy_is_not(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    with session_factory.begin() as session:
        _, copy = _copy(session, DeliveryState.REJECTED, "policy")
        mailing = make_mailing(
            session, kind=MailingKind.TEST, state=MailingState.FINISHED, recipient_address="me@example.com"
        )
        make_delivery(session, mailing, state=DeliveryState.REJECTED, reason="policy")
    test_url, copy_url = f"{HERE}/{mailing.id}-1", f"{HERE}/{copy.mailing_id}-1"
    assert f'action="{test_url}/retry"' in signed_in.get(test_url).text
    assert signed_in.post(f"{test_url}/retry").status_code == 303
    assert nudges == [(queue.DISPATCH,)]
    with session_factory() as session:
        assert session.get_one(Delivery, (mailing.id, 1)).next_attempt_at is not None
    assert "/retry" not in signed_in.get(copy_url).text
    assert signed_in.post(f"{copy_url}/retry").status_code == 409


@pytest.mark.parametrize("delivery_id", ["1-1", "nonsense", "0-1", "1-99999999999999999999", "1"])
def test_a_copy_that_is_not_there_is_a_404(signed_in: TestClient, delivery_id: str) -> None:
    assert signed_in.get(f"{HERE}/{delivery_id}").status_code == 404
    assert signed_in.get(f"{HERE}/{delivery_id}/mail").status_code == 404
