"""Users: the people of the team who sign in."""

import enum
from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base, BigId, CreatedAt, text_enum


class Role(enum.StrEnum):
    """What a user may do: a member works with campaigns, an administrator also with users, tokens and the relay."""

    ADMIN = "admin"
    MEMBER = "member"


class User(Base):
    """One person of the team."""

    __tablename__ = "users"

    id: Mapped[BigId]
    address: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[Role] = mapped_column(text_enum(Role))
    created_at: Mapped[CreatedAt]
    last_sign_in_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
