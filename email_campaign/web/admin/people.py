"""How a person stands, in words and with a tone: may we mail them, and if not, why?"""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from email_campaign.audience.contacts import Contact
from email_campaign.audience.lists import MailingList
from email_campaign.audience.subscriptions import Change, Source, Subscription, SubscriptionState
from email_campaign.audience.suppressions import Suppression, SuppressionReason
from email_campaign.settings import Settings
from email_campaign.signing import derive_key

REASONS: Mapping[SuppressionReason, str] = {
    SuppressionReason.HARD_BOUNCE: "hard bounce",
    SuppressionReason.COMPLAINT: "complaint",
    SuppressionReason.UNSUBSCRIBED: "unsubscribed",
    SuppressionReason.BY_HAND: "by hand",
}
"""Why an address is suppressed, in the words of the pages."""
REASON_SENTENCES: Mapping[SuppressionReason, str] = {
    SuppressionReason.HARD_BOUNCE: "The receiving server says that this address does not exist.",
    SuppressionReason.COMPLAINT: "The person reported our mail as spam.",
    SuppressionReason.UNSUBSCRIBED: "The person wants no mail from us at all.",
    SuppressionReason.BY_HAND: "Somebody here decided it.",
}
SOURCES: Mapping[str, str] = {
    Source.FORM: "by a form",
    Source.LINK: "by a link in a mail",
    Source.HAND: "by hand",
    Source.API: "by the API",
    Source.IMPORT: "by an import",
}
LEFT_THE_LIST = (
    "This person unsubscribed from the list. Only they can come back by themselves; to put them back by hand, "
    "write here why."
)
SUBSCRIPTION_TONES: Mapping[SubscriptionState, str] = {
    SubscriptionState.PENDING: "pending",
    SubscriptionState.CONFIRMED: "accepted",
    SubscriptionState.UNSUBSCRIBED: "skipped",
}
CHANGES: Mapping[Change, tuple[str, str]] = {
    Change.PENDING: ("Pending on", "pending"),
    Change.CONFIRMED: ("Confirmed on", "accepted"),
    Change.UNSUBSCRIBED: ("Unsubscribed on", "skipped"),
    Change.TAKEN_BACK: ("Taken off", "cancelled"),
}
"""What the history of a subscription tells, and its tone."""


def address_key(settings: Settings) -> bytes:
    """The key under which addresses are hashed."""
    return derive_key(settings.secret_key.get_secret_value(), "address")


def suppressions_of(session: Session, contacts: Sequence[Contact]) -> dict[bytes, Suppression]:
    """The suppressions of these contacts by address hash; for a page of a list."""
    hashes = [contact.address_hash for contact in contacts]
    found = session.scalars(select(Suppression).where(Suppression.address_hash.in_(hashes)))
    return {suppression.address_hash: suppression for suppression in found}


def subscriptions_by_contact(
    session: Session, contacts: Sequence[Contact]
) -> dict[int, list[tuple[Subscription, MailingList]]]:
    """On which lists these contacts stand, archived ones left out; for a page of a list."""
    rows = session.execute(
        select(Subscription, MailingList)
        .join(MailingList, MailingList.id == Subscription.list_id)
        .where(Subscription.contact_id.in_([contact.id for contact in contacts]), MailingList.archived_at.is_(None))
        .order_by(MailingList.name)
    )
    by_contact: dict[int, list[tuple[Subscription, MailingList]]] = {contact.id: [] for contact in contacts}
    for subscription, mailing_list in rows:
        by_contact[subscription.contact_id].append((subscription, mailing_list))
    return by_contact


def standing(suppression: Suppression | None, states: Sequence[SubscriptionState]) -> tuple[str, str]:
    """Tone and word of a contact: suppression wins, then the best of the subscriptions."""
    if suppression is not None:
        return "rejected", f"suppressed: {REASONS[suppression.reason]}"
    for state in (SubscriptionState.CONFIRMED, SubscriptionState.PENDING, SubscriptionState.UNSUBSCRIBED):
        if state in states:
            return SUBSCRIPTION_TONES[state], state.value
    return "pending", "on no list"
