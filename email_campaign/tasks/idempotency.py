"""Idempotency keys: the same request sent twice is carried out once and answered the same.

Source: draft-ietf-httpapi-idempotency-key-header.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base, BigId, CreatedAt


class IdempotencyKey(Base):
    """A request that a client named, with the answer that it got; `response_status` is NULL while it runs."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "owner", "key", unique=True),)

    id: Mapped[BigId]
    owner: Mapped[str]
    key: Mapped[str]
    request_hash: Mapped[bytes]
    response_status: Mapped[int | None]
    response_body: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[CreatedAt]
    locked_until: Mapped[datetime | None]
