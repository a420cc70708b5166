"""Relays: the SMTP servers that mail is handed to, their limits and their troubles."""

import enum
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.db import Base, BigId, text_enum
from email_campaign.delivery.retry import relay_retry_at
from email_campaign.errors import FieldProblem, Invalid, NotFound


class RelayState(enum.StrEnum):
    """active ⇄ paused, by hand or because the relay refuses our credentials."""

    ACTIVE = "active"
    PAUSED = "paused"


class Relay(Base):
    """What people may change about a relay while it sends; where it is and its credentials are settings.

    Not more than `limit_count` mails in any `limit_seconds` when set. `failure_count` counts failed connects in a row,
    `retry_at` is when the next one is due, `last_error` what the last one met.
    """

    __tablename__ = "relays"

    id: Mapped[BigId]
    name: Mapped[str] = mapped_column(unique=True)
    state: Mapped[RelayState] = mapped_column(text_enum(RelayState), server_default="active")
    state_reason: Mapped[str] = mapped_column(server_default="")
    limit_count: Mapped[int | None]
    limit_seconds: Mapped[int] = mapped_column(server_default="1")
    failure_count: Mapped[int] = mapped_column(server_default="0")
    retry_at: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(server_default="")
    last_error_at: Mapped[datetime | None]
    last_success_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


def get(session: Session, relay_id: int) -> Relay:
    """The relay. Raises NotFound."""
    relay = session.get(Relay, relay_id, populate_existing=True)
    if relay is None:
        raise NotFound(f"There is no relay {relay_id}.")
    return relay


def note_failure(session: Session, relay_id: int, error: str, *, waits: tuple[float, float], now: datetime) -> datetime:
    """Count a failed connect and say until when the relay is left alone.

    Many connections that fail at the same time are one failure: it counts once per wait.
    """
    relay = session.scalars(select(Relay).where(Relay.id == relay_id).with_for_update()).one()
    relay.last_error, relay.last_error_at = error[:500], now
    if relay.retry_at is None or relay.retry_at <= now:
        relay.failure_count += 1
        first, longest = waits
        seed = f"{relay_id}".encode()
        relay.retry_at = relay_retry_at(
            now=now, failure_count=relay.failure_count, first=first, longest=longest, seed=seed
        )
    return relay.retry_at


def note_success(session: Session, relay_id: int, now: datetime) -> None:
    """The relay took a mail: forget its failures."""
    relay = session.scalars(select(Relay).where(Relay.id == relay_id).with_for_update()).one()
    relay.failure_count, relay.retry_at, relay.last_success_at = 0, None, now


def pause(session: Session, relay_id: int, reason: str) -> None:
    """Nothing is handed to this relay until it is resumed."""
    relay = session.scalars(select(Relay).where(Relay.id == relay_id).with_for_update()).one()
    relay.state, relay.state_reason = RelayState.PAUSED, reason[:500]


def resume(session: Session, relay_id: int) -> None:
    """Hand mail over again, and forget earlier failures."""
    relay = session.scalars(select(Relay).where(Relay.id == relay_id).with_for_update()).one()
    relay.state, relay.state_reason, relay.failure_count, relay.retry_at = RelayState.ACTIVE, "", 0, None


def change_limit(session: Session, relay_id: int, count: int | None, seconds: int, now: datetime) -> Relay:
    """Not more than `count` mails in any `seconds` (None: no limit). Raises Invalid.

    Every send process acts on it within a second.
    """
    problems = []
    if count is not None and not 1 <= count <= 10_000_000:
        problems.append(FieldProblem("limit_count", "Give a number from 1 to 10,000,000, or none for no limit."))
    if not 1 <= seconds <= 86_400:
        problems.append(FieldProblem("limit_seconds", "Give a number of seconds from 1 to 86,400 (a day)."))
    if problems:
        raise Invalid("The relay's limits cannot be saved.", problems)
    relay = session.scalars(select(Relay).where(Relay.id == relay_id).with_for_update()).one()
    relay.limit_count, relay.limit_seconds, relay.updated_at = count, seconds, now
    return relay
