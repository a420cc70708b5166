"""API tokens: shown once, stored hashed, revocable."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base, BigId, CreatedAt


class ApiToken(Base):
    """A bearer token of a user. `prefix` is its first characters, so that people recognise it in a list."""

    __tablename__ = "api_tokens"

    id: Mapped[BigId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[CreatedAt]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
