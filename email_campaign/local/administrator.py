"""The first administrator, so that somebody can sign in after the first start."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from email_campaign.accounts.users import Role, User, create_user
from email_campaign.db import SessionFactory

PASSWORD_BYTES = 12


@dataclass(frozen=True, slots=True)
class NewAdministrator:
    """Somebody who was just created. The password stands nowhere else."""

    address: str
    password: str


def ensure_administrator(factory: SessionFactory, address: str, now: datetime) -> NewAdministrator | None:
    """Create an administrator when there is no user at all. Safe to repeat."""
    with factory.begin() as session:
        if session.scalar(select(User.id).limit(1)):
            return None
        return create_administrator(session, address, generate_password(), now)


def create_administrator(session: Session, address: str, password: str, now: datetime) -> NewAdministrator:
    """Create an administrator, named after the address. Raises Invalid or Conflict."""
    create_user(session, address=address, name=address.partition("@")[0], password=password, role=Role.ADMIN, now=now)
    return NewAdministrator(address, password)


def generate_password() -> str:
    """A password that nobody guesses: 96 bits."""
    return secrets.token_urlsafe(PASSWORD_BYTES)
