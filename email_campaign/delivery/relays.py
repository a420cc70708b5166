"""Relays: the SMTP servers that mail is handed to, their limits and their troubles."""

import enum
from datetime import datetime

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base, BigId, text_enum


class RelayState(enum.StrEnum):
    """active ⇄ paused, by hand or because the relay refuses our credentials."""

    ACTIVE = "active"
    PAUSED = "paused"


class Relay(Base):
    """What people may change about a relay while it sends; where it is and its credentials are settings.

    Not more than `limit_count` mails in any `limit_seconds` when set. `failure_count` counts failed connects in a row,
    `retry_at` is when the next one is due, `last_error` what the last one met.
    """

    __tablename__ = "relays"

    id: Mapped[BigId]
    name: Mapped[str] = mapped_column(unique=True)
    state: Mapped[RelayState] = mapped_column(text_enum(RelayState), server_default="active")
    state_reason: Mapped[str] = mapped_column(server_default="")
    limit_count: Mapped[int | None]
    limit_seconds: Mapped[int] = mapped_column(server_default="1")
    max_connections: Mapped[int] = mapped_column(server_default="32")
    failure_count: Mapped[int] = mapped_column(server_default="0")
    retry_at: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(server_default="")
    last_error_at: Mapped[datetime | None]
    last_success_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
