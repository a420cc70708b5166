"""What one contact got: their copies of the latest mailings."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import Mailing
from email_campaign.delivery.deliveries import Delivery, DeliveryState

MAILINGS = 200
"""So many of the latest mailings are looked through: one probe of an index each."""


@dataclass(frozen=True, slots=True)
class ContactCopy:
    """The contact's copy of a mailing: `campaign_name` is empty for the welcome mail of the list `list_name`."""

    delivery_id: str
    mailing_id: int
    campaign_name: str
    list_name: str
    state: DeliveryState
    reason: str | None
    changed_at: datetime


def copies_for(session: Session, contact_id: int) -> list[ContactCopy]:
    """The contact's copies of the latest launched mailings, the newest first."""
    latest = (
        select(Mailing.id)
        .where(Mailing.launched_at.is_not(None), Mailing.recipient_address.is_(None))
        .order_by(Mailing.id.desc())
        .limit(MAILINGS)
    )
    mailing_ids = session.scalars(latest).all()
    rows = session.execute(
        select(Delivery, Campaign.name, Mailing.list_name)
        .join(Mailing, Mailing.id == Delivery.mailing_id)
        .outerjoin(Campaign, Campaign.id == Delivery.mailing_id)
        .where(Delivery.mailing_id.in_(mailing_ids), Delivery.contact_id == contact_id)
        .order_by(Delivery.mailing_id.desc())
    )
    return [
        ContactCopy(
            delivery_id=f"{delivery.mailing_id}-{delivery.position}",
            mailing_id=delivery.mailing_id,
            campaign_name=name or "",
            list_name=list_name or "",
            state=DeliveryState(delivery.state),
            reason=delivery.reason,
            changed_at=delivery.changed_at,
        )
        for delivery, name, list_name in rows
    ]
