"""Mailing lists: what people subscribe to."""

from datetime import datetime

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base, BigId, CreatedAt


class MailingList(Base):
    """A list that contacts subscribe to. An archived list keeps its history and takes part in nothing new."""

    __tablename__ = "mailing_lists"
    __table_args__ = (
        Index(
            "uq_mailing_lists_live_name",
            text("lower(name)"),
            unique=True,
            postgresql_where=text("archived_at IS NULL"),
        ),
    )

    id: Mapped[BigId]
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[CreatedAt]
    archived_at: Mapped[datetime | None]
