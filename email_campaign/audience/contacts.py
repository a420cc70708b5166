"""Contacts: the people whom we may mail."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base, BigId, CreatedAt


class Contact(Base):
    """One person. The address is who the contact is and never changes: a new address is a new contact.

    `address` is in the spelling of `address.normalise`; `address_hash` stands for it in the ledger and in suppressions.
    """

    __tablename__ = "contacts"
    __table_args__ = (
        Index("ix_contacts_address_prefix", "address", postgresql_ops={"address": "text_pattern_ops"}),
        Index(None, "address_hash", unique=True),
    )

    id: Mapped[BigId]
    address: Mapped[str] = mapped_column(unique=True)
    address_hash: Mapped[bytes]
    name: Mapped[str] = mapped_column(server_default="")
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
