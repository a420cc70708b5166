"""Rows for tests: one plain function a table, with everything that a test does not speak of filled in.

They add and flush, and never commit. What they leave out (hashing a password, checking a template) is tested where it
lives. Names and addresses are new with every call.
"""

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from email_campaign.accounts.users import Role, User
from email_campaign.address import address_hash, normalise
from email_campaign.audience.contacts import Contact
from email_campaign.audience.lists import MailingList
from email_campaign.audience.subscriptions import Subscription, SubscriptionState
from email_campaign.audience.suppressions import Suppression, SuppressionReason
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import Mailing, MailingKind, MailingState
from email_campaign.clock import utc_now
from email_campaign.content.templates import Template
from email_campaign.content.versions import freeze
from email_campaign.delivery.attempts import Attempt
from email_campaign.delivery.deliveries import Delivery, DeliveryState, count_moves
from email_campaign.delivery.workers import Worker
from email_campaign.signing import derive_key

ADDRESS_KEY = derive_key("test-secret-key-of-no-value", "address")
"""As the settings of tests/conftest.py derive it."""

Row = TypeVar("Row")

_NUMBERS = itertools.count(1)
_LAUNCHED = frozenset({MailingState.SENDING, MailingState.PAUSED, MailingState.FINISHED})


def make_user(session: Session, *, name: str = "Ada", role: Role = Role.ADMIN) -> User:
    """A user whom no password lets in."""
    user = User(address=f"user-{next(_NUMBERS)}@example.com", name=name, password_hash="!", role=role)
    return _added(session, user)


def make_list(session: Session, name: str = "", *, description: str = "") -> MailingList:
    """A live list."""
    return _added(session, MailingList(name=name or f"List {next(_NUMBERS)}", description=description))


def make_contact(
    session: Session, address: str = "", *, name: str = "", attributes: Mapping[str, Any] | None = None
) -> Contact:
    """A contact on no list."""
    address = normalise(address or f"contact-{next(_NUMBERS)}@example.org")
    contact = Contact(
        address=address,
        address_hash=address_hash(ADDRESS_KEY, address),
        name=name,
        attributes=dict(attributes or {}),
    )
    return _added(session, contact)


def make_subscription(
    session: Session,
    contact: Contact,
    mailing_list: MailingList,
    state: SubscriptionState = SubscriptionState.CONFIRMED,
    *,
    at: datetime | None = None,
) -> Subscription:
    """The contact on the list since `at` (now), without a history."""
    at = at or utc_now()
    subscription = Subscription(
        list_id=mailing_list.id,
        contact_id=contact.id,
        state=state,
        confirmed_at=None if state is SubscriptionState.PENDING else at,
        unsubscribed_at=at if state is SubscriptionState.UNSUBSCRIBED else None,
    )
    return _added(session, subscription)


def make_suppression(
    session: Session, address: str, reason: SuppressionReason = SuppressionReason.BY_HAND, *, detail: str = ""
) -> Suppression:
    """The address is not mailed."""
    address = normalise(address)
    digest = address_hash(ADDRESS_KEY, address)
    return _added(session, Suppression(address_hash=digest, address=address, reason=reason, detail=detail))


def make_template(
    session: Session,
    *,
    name: str = "",
    subject: str = "Hello {{ name }}",
    html: str = '<p>Hello {{ name }}</p>\n<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>',
    text: str = "",
) -> Template:
    """A live template, not tried out."""
    template = Template(name=name or f"Template {next(_NUMBERS)}", subject=subject, html=html, text=text)
    return _added(session, template)


def make_campaign(
    session: Session,
    *,
    name: str = "",
    template: Template | None = None,
    lists: Sequence[MailingList] = (),
    state: MailingState = MailingState.DRAFT,
) -> Campaign:
    """A campaign with its mailing. From `sending` on it has frozen words and was launched now; nobody is enrolled."""
    mailing = make_mailing(session, kind=MailingKind.CAMPAIGN, state=state, template=template)
    mailing.list_ids = [mailing_list.id for mailing_list in lists]
    campaign = Campaign(
        id=mailing.id,
        name=name or f"Campaign {next(_NUMBERS)}",
        template_id=template.id if template else None,
        mailing=mailing,
    )
    return _added(session, campaign)


def make_mailing(
    session: Session,
    *,
    kind: MailingKind = MailingKind.TEST,
    state: MailingState = MailingState.SENDING,
    template: Template | None = None,
    recipient_address: str | None = None,
    campaign: Campaign | None = None,
) -> Mailing:
    """A mailing without deliveries; a launched one is enrolled to its end."""
    is_launched = state in _LAUNCHED
    words = (template.subject, template.html, template.text) if template else ("Hello", "", "Hello")
    now = utc_now()
    mailing = Mailing(
        kind=kind,
        state=state,
        campaign_id=campaign.id if campaign else None,
        content_version_id=freeze(session, *words).id if is_launched else None,
        from_address="news@example.com",
        recipient_address=recipient_address,
        launched_at=now if is_launched else None,
        enrolled_at=now if is_launched else None,
        finished_at=now if state is MailingState.FINISHED else None,
        settled_at=now if state is MailingState.FINISHED else None,
    )
    return _added(session, mailing)


def make_delivery(
    session: Session,
    mailing: Mailing,
    contact: Contact | None = None,
    *,
    state: DeliveryState = DeliveryState.PENDING,
    reason: str | None = None,
    next_attempt_at: datetime | None = None,
) -> Delivery:
    """The mailing's next copy, counted; no slice carries it. Without a contact it goes to the mailing's recipient."""
    address = contact.address if contact else mailing.recipient_address or f"copy-{next(_NUMBERS)}@example.org"
    delivery = Delivery(
        mailing_id=mailing.id,
        position=mailing.next_position,
        contact_id=contact.id if contact else None,
        address_hash=address_hash(ADDRESS_KEY, address),
        state=state.value,
        reason=reason,
        next_attempt_at=next_attempt_at,
        changed_at=utc_now(),
    )
    mailing.next_position += 1
    mailing.enrolled_count += 1
    count_moves(session, mailing.id, {state.value: 1})
    return _added(session, delivery)


def make_attempt(
    session: Session,
    delivery: Delivery,
    *,
    verdict: DeliveryState = DeliveryState.ACCEPTED,
    code: int | None = 250,
    enhanced_code: str | None = "2.0.0",
    reply: str = "Ok",
    phase: str = "body",
) -> Attempt:
    """The delivery's next attempt, made now. The delivery's own state is left as it is."""
    delivery.attempt_count = (delivery.attempt_count or 0) + 1
    now = utc_now()
    delivery.first_attempt_at = delivery.first_attempt_at or now
    attempt = Attempt(
        mailing_id=delivery.mailing_id,
        position=delivery.position,
        number=delivery.attempt_count,
        worker_id=1,
        relay_id=1,
        started_at=now,
        finished_at=now,
        code=code,
        spared=False,
        late=False,
        verdict=verdict.value,
        phase=phase,
        enhanced_code=enhanced_code,
        reply=reply,
    )
    return _added(session, attempt)


def make_worker(session: Session, *, rate_per_second: float | None = None, connection_count: int = 0) -> Worker:
    """A send process that lives."""
    worker = Worker(
        host="test", pid=1, beat_at=utc_now(), rate_per_second=rate_per_second, connection_count=connection_count
    )
    return _added(session, worker)


def _added(session: Session, row: Row) -> Row:
    session.add(row)
    session.flush()
    return row
