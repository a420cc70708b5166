"""Sessions of signed-in users, and the throttle on failed sign-ins."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import ForeignKey, Index, Select, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.accounts.users import User, authenticate
from email_campaign.address import BadAddress, normalise
from email_campaign.db import Base, BigId, CreatedAt, SessionFactory
from email_campaign.errors import Invalid, NotAllowed, NotFound
from email_campaign.settings import Settings
from email_campaign.signing import derive_key, keyed_hash, token_hash

THROTTLE = timedelta(minutes=15)
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


class SignInFailure(Base):
    """One failed sign-in, kept under a hash of what was tried (address or client) until it no longer counts."""

    __tablename__ = "sign_in_failures"
    __table_args__ = (Index(None, "key_hash", "failed_at"),)

    id: Mapped[BigId]
    key_hash: Mapped[bytes]
    failed_at: Mapped[datetime] = mapped_column(index=True)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody typed into the sign-in form, and the IP address that it came from."""

    address: str
    password: str = field(repr=False)
    client: str


class TooManySignIns(NotAllowed):
    """Too many failed sign-ins; `retry_at` says when the next one is looked at."""

    def __init__(self, retry_at: datetime) -> None:
        whole_minute = retry_at + timedelta(minutes=1)  # the text has no seconds, and must not name a time too early
        super().__init__(f"There were too many failed sign-ins. Try again at {whole_minute:%H:%M} UTC or later.")
        self.retry_at = retry_at


def sign_in(factory: SessionFactory, settings: Settings, attempt: Attempt, now: datetime) -> str:
    """The secret of a new session. Raises Invalid where address or password are wrong, and TooManySignIns."""
    key = derive_key(settings.secret_key.get_secret_value(), "sign-in")
    address_key = keyed_hash(key, "address " + _spelling(attempt.address))
    claim = _claim(factory, [address_key, keyed_hash(key, "client " + _network(attempt.client))], now)
    with factory.begin() as session:
        if retry_at := _throttled_until(session, claim, settings.sign_in_attempts, now):
            # A refused attempt does not prolong the wait.
            session.execute(delete(SignInFailure).where(SignInFailure.id.in_(claim.values())))
        else:
            user = authenticate(session, address=attempt.address, password=attempt.password)
    if retry_at:
        raise TooManySignIns(retry_at)
    if user is None:
        raise Invalid("The address or the password is wrong.")
    with factory.begin() as session:
        # The client's other failures stay: an own account must not buy more guesses at the accounts of others.
        session.execute(
            delete(SignInFailure).where(
                SignInFailure.id.in_(claim.values()) | (SignInFailure.key_hash == address_key),
            )
        )
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


def sign_out(session: Session, *, token: str) -> None:
    """End the session with this secret. Safe to repeat."""
    session.execute(delete(SignInSession).where(SignInSession.token_hash == token_hash(token)))


def purge(session: Session, *, now: datetime) -> None:
    """Forget sessions that are over and failures that no longer count. Safe to repeat."""
    session.execute(delete(SignInSession).where(SignInSession.expires_at <= now))
    session.execute(delete(SignInFailure).where(SignInFailure.failed_at <= now - THROTTLE))


def _claim(factory: SessionFactory, keys: list[bytes], now: datetime) -> dict[bytes, int]:
    """Count the attempt as failed before it is looked at: attempts that arrive together must see each other."""
    with factory.begin() as session:
        failures = [SignInFailure(key_hash=key, failed_at=now) for key in keys]
        session.add_all(failures)
        session.flush()
        return {failure.key_hash: failure.id for failure in failures}


def _throttled_until(session: Session, claim: dict[bytes, int], limit: int, now: datetime) -> datetime | None:
    """When the throttle lets the next attempt through, where it does not let this one."""
    waits = []
    for key, own_id in claim.items():
        counted = select(SignInFailure.failed_at).where(
            SignInFailure.key_hash == key, SignInFailure.failed_at > now - THROTTLE, SignInFailure.id != own_id
        )
        if (session.scalar(select(func.count()).select_from(counted.subquery())) or 0) >= limit:
            oldest = session.scalar(counted.order_by(SignInFailure.failed_at.desc()).offset(limit - 1).limit(1))
            waits.append((oldest or now) + THROTTLE)
    return max(waits, default=None)


def _spelling(address: str) -> str:
    try:
        return normalise(address)
    except BadAddress:
        return address


def _network(client: str) -> str:
    """An IPv6 client owns a /64 at least, and could otherwise try from 2^64 addresses."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else str(address)
