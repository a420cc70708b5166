"""Subscriptions: who is on which list, in which state, and how it came to that."""

import enum
from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base, BigId, CreatedAt, text_enum


class SubscriptionState(enum.StrEnum):
    """pending → confirmed → unsubscribed → (by the person, or by hand with a reason) confirmed."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    UNSUBSCRIBED = "unsubscribed"


_STATE = text_enum(SubscriptionState)


class Subscription(Base):
    """A contact on a list. The audience of a campaign are the confirmed."""

    __tablename__ = "subscriptions"
    __table_args__ = (Index("ix_subscriptions_list_state", "list_id", "state"),)

    list_id: Mapped[int] = mapped_column(ForeignKey("mailing_lists.id"), primary_key=True)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contacts.id", ondelete="CASCADE"), primary_key=True, index=True)
    state: Mapped[SubscriptionState] = mapped_column(_STATE)
    created_at: Mapped[CreatedAt]
    confirmed_at: Mapped[datetime | None]
    unsubscribed_at: Mapped[datetime | None]


class SubscriptionEvent(Base):
    """One change of a subscription's state: when, from what, and by which way (append-only)."""

    __tablename__ = "subscription_events"
    __table_args__ = (
        Index(None, "contact_id", "list_id", "id"),
        Index("ix_subscription_events_recent", "list_id", "id", postgresql_where=text("source <> 'import'")),
    )

    id: Mapped[BigId]
    list_id: Mapped[int]
    contact_id: Mapped[int] = mapped_column(ForeignKey("contacts.id", ondelete="CASCADE"))
    at: Mapped[CreatedAt]
    state: Mapped[SubscriptionState] = mapped_column(_STATE)
    source: Mapped[str]
    detail: Mapped[str] = mapped_column(server_default="")
