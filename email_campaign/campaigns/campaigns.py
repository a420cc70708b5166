"""Campaigns: one message, one audience, one moment."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from email_campaign.campaigns.mailings import Mailing
from email_campaign.db import Base, CreatedAt


class Campaign(Base):
    """What people write and launch. It shares its id with its mailing, which holds state, sender and audience."""

    __tablename__ = "campaigns"
    __table_args__ = (Index("ix_campaigns_due", "scheduled_at", postgresql_where=text("scheduled_at IS NOT NULL")),)

    id: Mapped[int] = mapped_column(ForeignKey("mailings.id"), primary_key=True, autoincrement=False)
    name: Mapped[str]
    template_id: Mapped[int | None] = mapped_column(ForeignKey("templates.id"))
    scheduled_at: Mapped[datetime | None]
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    mailing: Mapped[Mailing] = relationship(foreign_keys=[id], lazy="joined", innerjoin=True)
