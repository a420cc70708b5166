"""Sessions of signed-in users."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, Select, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.accounts import throttle
from email_campaign.accounts.throttle import TooMany
from email_campaign.accounts.users import User, authenticate
from email_campaign.db import Base, BigId, CreatedAt, SessionFactory
from email_campaign.errors import Invalid, NotFound
from email_campaign.settings import Settings
from email_campaign.signing import token_hash

SEEN_EVERY = timedelta(minutes=1)
"""`last_seen_at` is no truer than this: a row need not be written at every request."""


class SignInSession(Base):
    """One browser of one user. The cookie carries the secret; here stands its hash."""

    __tablename__ = "sessions"

    id: Mapped[BigId]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody typed into the sign-in form, and the IP address that it came from."""

    address: str
    password: str = field(repr=False)
    client: str


class TooManySignIns(TooMany):
    """Too many failed sign-ins."""

    def __init__(self, retry_at: datetime) -> None:
        super().__init__("There were too many failed sign-ins.", retry_at)


def throttle_keys(settings: Settings, *, address: str, client: str) -> throttle.Keys:
    """Under what failed sign-ins count."""
    return throttle.keys_of(settings, "sign-in", address=address, client=client)


def sign_in(factory: SessionFactory, settings: Settings, attempt: Attempt, now: datetime) -> str:
    """The secret of a new session. Raises Invalid where address or password are wrong, and TooManySignIns."""
    keys = throttle_keys(settings, address=attempt.address, client=attempt.client)
    claimed = throttle.claim(factory, keys, now)
    limits = dict.fromkeys(claimed, settings.sign_in_attempts)
    with factory.begin() as session:
        if (retry_at := throttle.throttled_until(session, claimed, limits, now)) > now:
            throttle.take_back(session, claimed)
        else:
            user = authenticate(session, address=attempt.address, password=attempt.password)
    if retry_at > now:
        raise TooManySignIns(retry_at)
    if user is None:
        raise Invalid("The address or the password is wrong.")
    with factory.begin() as session:
        # The client's other failures stay: an own account must not buy more guesses at the accounts of others.
        throttle.take_back(session, claimed)
        throttle.forgive(session, keys.address)
        return open_session(session, user_id=user.id, lifetime=timedelta(days=settings.session_days), now=now)


def open_session(session: Session, *, user_id: int, lifetime: timedelta, now: datetime) -> str:
    """The secret of a new session for a user whose identity was proved."""
    token = secrets.token_urlsafe(32)
    session.add(
        SignInSession(
            token_hash=token_hash(token), user_id=user_id, created_at=now, last_seen_at=now, expires_at=now + lifetime
        )
    )
    session.get_one(User, user_id).last_sign_in_at = now
    return token


def find_session(session: Session, *, token: str, now: datetime) -> tuple[SignInSession, User] | None:
    """The live session with this secret and its user, marked as seen; None where it is over or the user disabled."""
    row = session.execute(
        select(SignInSession, User)
        .join(User, User.id == SignInSession.user_id)
        .where(
            SignInSession.token_hash == token_hash(token), SignInSession.expires_at > now, User.disabled_at.is_(None)
        )
    ).first()
    if row is None:
        return None
    found, user = row
    if now - found.last_seen_at >= SEEN_EVERY:
        found.last_seen_at = now
    return found, user


def live_sessions(session: Session, ids: Collection[int], now: datetime) -> set[int]:
    """Which of these sessions are neither over nor of a disabled user."""
    return set(
        session.scalars(
            select(SignInSession.id)
            .join(User, User.id == SignInSession.user_id)
            .where(SignInSession.id.in_(ids), SignInSession.expires_at > now, User.disabled_at.is_(None))
        )
    )


def list_sessions(user_id: int, now: datetime) -> Select[SignInSession]:
    """The live sessions of a user, the one used last first."""
    return (
        select(SignInSession)
        .where(SignInSession.user_id == user_id, SignInSession.expires_at > now)
        .order_by(SignInSession.last_seen_at.desc(), SignInSession.id.desc())
    )


def end_session(session: Session, *, user_id: int, session_id: int) -> None:
    """Sign one browser of this user out. Raises NotFound."""
    ended = session.scalar(
        delete(SignInSession)
        .where(SignInSession.id == session_id, SignInSession.user_id == user_id)
        .returning(SignInSession.id)
    )
    if ended is None:
        raise NotFound("This session is over already.")


def end_other_sessions(session: Session, *, user_id: int, keep_id: int) -> None:
    """Sign every browser of this user out but one. Safe to repeat."""
    session.execute(delete(SignInSession).where(SignInSession.user_id == user_id, SignInSession.id != keep_id))


def end_all_sessions(session: Session, *, user_id: int) -> None:
    """Sign every browser of this user out. Safe to repeat."""
    session.execute(delete(SignInSession).where(SignInSession.user_id == user_id))


def sign_out(session: Session, *, token: str) -> None:
    """End the session with this secret. Safe to repeat."""
    session.execute(delete(SignInSession).where(SignInSession.token_hash == token_hash(token)))


def purge(session: Session, *, now: datetime) -> None:
    """Forget sessions that are over. Safe to repeat."""
    session.execute(delete(SignInSession).where(SignInSession.expires_at <= now))
