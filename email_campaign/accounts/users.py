"""Users: the people of the team who sign in."""

import enum
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.accounts import passwords
from email_campaign.address import BadAddress, normalise
from email_campaign.db import Base, BigId, CreatedAt, text_enum
from email_campaign.errors import Conflict, Invalid, NotFound

MAX_NAME_CHARACTERS = 200


class Role(enum.StrEnum):
    """What a user may do: a member everything but to change or call the relay, an administrator that too."""

    ADMIN = "admin"
    MEMBER = "member"


class User(Base):
    """One person of the team. `gets_reports` is what they chose themselves; None: as their role has it."""

    __tablename__ = "users"

    id: Mapped[BigId]
    address: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[Role] = mapped_column(text_enum(Role))
    created_at: Mapped[CreatedAt]
    last_sign_in_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    gets_reports: Mapped[bool | None]


def create_user(session: Session, *, address: str, name: str, password: str, role: Role, now: datetime) -> User:
    """A new user, flushed so that it has an id. Raises Invalid, or Conflict where the address has a user already."""
    try:
        address = normalise(address)
    except BadAddress as error:
        raise Invalid.field("address", str(error)) from error
    name = name.strip()
    if not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise Invalid.field("name", f"The name needs 1 to {MAX_NAME_CHARACTERS} characters.")
    user = User(
        address=address, name=name, password_hash=passwords.hash_new("password", password), role=role, created_at=now
    )
    try:
        with session.begin_nested():
            session.add(user)
    except IntegrityError as error:
        raise Conflict(f"There is a user with the address {address} already.") from error
    return user


def find_user(session: Session, user_id: int) -> User:
    """Raises NotFound."""
    user = session.get(User, user_id)
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    return user


def find_by_address(session: Session, address: str) -> User | None:
    """The user with this address who may sign in, or None, also for a text that is no address."""
    try:
        return session.scalar(select(User).where(User.address == normalise(address), User.disabled_at.is_(None)))
    except BadAddress:
        return None


def authenticate(session: Session, *, address: str, password: str) -> User | None:
    """The user with this address and password, or None.

    The answer takes as long for an address that nobody has, so that it does not tell who has an account. A password
    that was hashed with weaker settings than today's is hashed again.
    """
    try:
        user = session.scalar(select(User).where(User.address == normalise(address)))
    except BadAddress:
        user = None
    genuine = passwords.verify(user.password_hash if user else None, password)
    if user is None or not genuine or user.disabled_at is not None:
        return None
    if passwords.is_outdated(user.password_hash):
        user.password_hash = passwords.hash_again(password)
    return user


def change_password(user: User, *, current: str, new: str) -> None:
    """Raises Invalid where the current password is wrong (field `current_password`) or the new one is too weak."""
    if not passwords.verify(user.password_hash, current):
        raise Invalid.field("current_password", "This is not your current password.")
    user.password_hash = passwords.hash_new("new_password", new)


def wants_reports(user: User) -> bool:
    """Whether scheduled reports are mailed to this user: to administrators, unless they say otherwise."""
    return user.role is Role.ADMIN if user.gets_reports is None else user.gets_reports


def choose_reports(session: Session, user_id: int, *, wanted: bool) -> None:
    """Whether scheduled reports are mailed to this user from now on. Raises NotFound."""
    find_user(session, user_id).gets_reports = wanted


def report_readers(session: Session) -> Sequence[User]:
    """Everybody to whom scheduled reports are mailed."""
    return [user for user in session.scalars(_active()) if wants_reports(user)]


def administrators(session: Session) -> Sequence[User]:
    """Everybody who looks after the service."""
    return session.scalars(_active().where(User.role == Role.ADMIN)).all()


def disable(user: User, *, now: datetime) -> None:
    """From the next request on, nothing of this user is let in: no password, session or token. Safe to repeat."""
    user.disabled_at = user.disabled_at or now


def _active() -> Select[User]:
    return select(User).where(User.disabled_at.is_(None)).order_by(User.id)
