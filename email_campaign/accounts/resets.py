"""Password resets: a link that works once and not for long. Its secret stands nowhere, it follows from the row."""

import enum
import logging
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.accounts import passwords, sessions, throttle
from email_campaign.accounts.throttle import TooMany
from email_campaign.accounts.users import User
from email_campaign.db import Base, BigId, CreatedAt, SessionFactory
from email_campaign.errors import Conflict
from email_campaign.settings import Settings
from email_campaign.signing import derive_key, keyed_hash, sign, unsign

log = logging.getLogger(__name__)

LIFETIME = timedelta(minutes=30)
MAILS_TO_AN_ADDRESS = 3
"""In 15 minutes: enough for who did not find the first, too few to annoy somebody with."""
_ID_BYTES = 8


class PasswordReset(Base):
    """One link that was mailed. The row stays: it says who got in by mail, and when.

    `password_mark` stands for the password that was forgotten: once the user has another one, the link is void.
    """

    __tablename__ = "password_resets"

    id: Mapped[BigId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    mailing_id: Mapped[int] = mapped_column(ForeignKey("mailings.id"), unique=True)
    password_mark: Mapped[bytes]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Fault(enum.StrEnum):
    """Why a link does not work."""

    UNKNOWN = "unknown"
    USED = "used"
    EXPIRED = "expired"


class DeadLink(Conflict):
    """The link of a reset that does not work (any more)."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"This link for a new password is {fault}; ask for another one.")
        self.fault = fault


def allow_request(factory: SessionFactory, settings: Settings, *, address: str, client: str, now: datetime) -> None:
    """Count a request for a reset, whoever has the address. Raises TooMany."""
    keys = throttle.keys_of(settings, "password-reset-request", address=address, client=client)
    claimed = throttle.claim(factory, keys, now)
    limits = {keys.address: MAILS_TO_AN_ADDRESS, keys.client: settings.sign_in_attempts}
    with factory.begin() as session:
        if (retry_at := throttle.throttled_until(session, claimed, limits, now)) > now:
            throttle.take_back(session, claimed)
    if retry_at > now:
        raise TooMany("There were too many requests for a new password.", retry_at)


def open_reset(session: Session, user: User, *, mailing_id: int, settings: Settings, now: datetime) -> PasswordReset:
    """A reset for this user, whose link the mailing will carry."""
    reset = PasswordReset(
        user_id=user.id,
        mailing_id=mailing_id,
        password_mark=_mark(settings, user),
        created_at=now,
        expires_at=now + LIFETIME,
    )
    session.add(reset)
    session.flush()
    return reset


def reset_of(session: Session, mailing_id: int) -> PasswordReset | None:
    """The reset whose link this mailing carries."""
    return session.scalar(select(PasswordReset).where(PasswordReset.mailing_id == mailing_id))


def link_token(settings: Settings, reset: PasswordReset) -> str:
    """The secret of the link: always the same for this row, so that a mail composed again has the same bytes."""
    fixed = f"{reset.id} {reset.user_id} {int(reset.expires_at.timestamp())} {reset.password_mark.hex()}"
    key = _key(settings)
    return sign(key, reset.id.to_bytes(_ID_BYTES) + keyed_hash(key, fixed))


def read_link(session: Session, settings: Settings, token: str, now: datetime) -> tuple[PasswordReset, User]:
    """The reset of a link that works, with its user; changes nothing. Raises DeadLink."""
    payload = unsign(_key(settings), token)
    reset = session.get(PasswordReset, int.from_bytes(payload[:_ID_BYTES])) if payload else None
    if reset is None or link_token(settings, reset) != token:
        raise DeadLink(Fault.UNKNOWN)
    user = session.get_one(User, reset.user_id)
    if reset.used_at is not None or reset.password_mark != _mark(settings, user):
        raise DeadLink(Fault.USED)
    if reset.expires_at <= now or user.disabled_at is not None:
        raise DeadLink(Fault.EXPIRED)
    return reset, user


def set_password(session: Session, settings: Settings, token: str, new: str, now: datetime) -> User:
    """Give the user of the link a new password and sign every browser of theirs out.

    Whoever was throttled may sign in at once. Raises DeadLink, and Invalid for the field `new_password`.
    """
    reset, user = read_link(session, settings, token, now)
    # Two who send the form at once: the second waits here and finds the link used.
    session.refresh(user, with_for_update=True)
    session.refresh(reset)
    reset, user = read_link(session, settings, token, now)
    user.password_hash = passwords.hash_new("new_password", new)
    reset.used_at = now
    sessions.end_all_sessions(session, user_id=user.id)
    throttle.forgive(session, sessions.throttle_keys(settings, address=user.address, client="").address)
    log.info("user %d set a new password by reset %d", user.id, reset.id)
    return user


def _mark(settings: Settings, user: User) -> bytes:
    return keyed_hash(derive_key(settings.secret_key.get_secret_value(), "password-mark"), user.password_hash)


def _key(settings: Settings) -> bytes:
    return derive_key(settings.secret_key.get_secret_value(), "password-reset")
