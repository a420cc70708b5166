"""Templates: subject, HTML and text that campaigns are made from."""

from datetime import datetime

from sqlalchemy import Index, func
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base, BigId, CreatedAt


class Template(Base):
    """What a campaign says, in sandboxed Jinja. A launch freezes it into a `ContentVersion`."""

    __tablename__ = "templates"
    __table_args__ = (
        Index("uq_templates_live_name", sql("lower(name)"), unique=True, postgresql_where=sql("archived_at IS NULL")),
    )

    id: Mapped[BigId]
    name: Mapped[str]
    subject: Mapped[str]
    html: Mapped[str] = mapped_column(server_default="")
    text: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    archived_at: Mapped[datetime | None]
