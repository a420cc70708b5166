"""Sessions of signed-in users, and the throttle on failed sign-ins."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base, BigId, CreatedAt


class SignInSession(Base):
    """One browser of one user. The cookie carries the secret; here stands its hash."""

    __tablename__ = "sessions"

    id: Mapped[BigId]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SignInFailure(Base):
    """One failed sign-in, kept under a hash of what was tried (address or client) until it no longer counts."""

    __tablename__ = "sign_in_failures"
    __table_args__ = (Index(None, "key_hash", "failed_at"),)

    id: Mapped[BigId]
    key_hash: Mapped[bytes]
    failed_at: Mapped[datetime] = mapped_column(index=True)
