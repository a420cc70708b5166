"""Suppressions: addresses that are not mailed, and why."""

import enum

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base, BigId, CreatedAt, text_enum


class SuppressionReason(enum.StrEnum):
    """Why an address is not mailed."""

    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBED = "unsubscribed"
    BY_HAND = "by_hand"


class Suppression(Base):
    """An address that no mailing reaches. The hash decides; the address may be erased with the person."""

    __tablename__ = "suppressions"
    __table_args__ = (
        Index("ix_suppressions_address_prefix", "address", postgresql_ops={"address": "text_pattern_ops"}),
    )

    id: Mapped[BigId]
    address_hash: Mapped[bytes] = mapped_column(unique=True)
    address: Mapped[str | None]
    reason: Mapped[SuppressionReason] = mapped_column(text_enum(SuppressionReason))
    detail: Mapped[str] = mapped_column(server_default="")
    mailing_id: Mapped[int | None]
    created_at: Mapped[CreatedAt]
