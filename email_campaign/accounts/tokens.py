"""API tokens: shown once, stored hashed, revocable."""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, Select, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.accounts.users import User
from email_campaign.db import Base, BigId, CreatedAt
from email_campaign.errors import Invalid, NotFound
from email_campaign.signing import token_hash

PREFIX = "ec_"
PREFIX_CHARACTERS = 9
"""`ec_` and six more are shown: too few to guess the other 34, enough to tell tokens apart."""
MAX_NAME_CHARACTERS = 100
USED_EVERY = timedelta(minutes=1)
"""`last_used_at` is no truer than this: a row need not be written at every request."""


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


def create_token(session: Session, *, user_id: int, name: str, now: datetime) -> tuple[ApiToken, str]:
    """A new token and its secret, which is nowhere else. Raises Invalid."""
    name = name.strip()
    if not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise Invalid.field("name", f"The name needs 1 to {MAX_NAME_CHARACTERS} characters, such as the script's.")
    secret = PREFIX + secrets.token_urlsafe(30)
    token = ApiToken(
        user_id=user_id, name=name, prefix=secret[:PREFIX_CHARACTERS], token_hash=token_hash(secret), created_at=now
    )
    session.add(token)
    session.flush()
    return token, secret


def authenticate_token(session: Session, *, token: str, now: datetime) -> User | None:
    """The user of a live token, which is marked as used; None for any other text."""
    row = session.execute(
        select(ApiToken, User)
        .join(User, User.id == ApiToken.user_id)
        .where(ApiToken.token_hash == token_hash(token), ApiToken.revoked_at.is_(None), User.disabled_at.is_(None))
    ).first()
    if row is None:
        return None
    found, user = row
    if found.last_used_at is None or now - found.last_used_at >= USED_EVERY:
        found.last_used_at = now
    return user


def list_tokens(user_id: int) -> Select[ApiToken]:
    """The live tokens of a user, in no order."""
    return select(ApiToken).where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None))


def revoke_token(session: Session, *, user_id: int, token_id: int, now: datetime) -> None:
    """From the next request on, this token of the user is refused. Raises NotFound."""
    token = session.scalar(list_tokens(user_id).where(ApiToken.id == token_id))
    if token is None:
        raise NotFound(f"You have no API token {token_id} (any more).")
    token.revoked_at = now
