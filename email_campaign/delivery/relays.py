"""Relays: the SMTP servers that mail is handed to, their limits and their troubles."""

import enum
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.campaigns import limits
from email_campaign.campaigns.limits import RateLimits, RateLimitsColumn
from email_campaign.db import Base, BigId, text_enum
from email_campaign.delivery.retry import relay_retry_at
from email_campaign.errors import Conflict, Invalid, NotFound


class RelayState(enum.StrEnum):
    """active ⇄ paused, by hand or because the relay refuses our credentials."""

    ACTIVE = "active"
    PAUSED = "paused"


class Relay(Base):
    """What people may change about a relay while it sends; where it is and its credentials are settings.

    `limits` are the people's. The `slowed_…` are written by `slowing` when the relay finds it too much. `failure_count`
    counts failed connects in a row, `retry_at` is when the next one is due, `probed_at` when a mail was last sent out
    to try, `last_error` is what the last one met.
    """

    __tablename__ = "relays"

    id: Mapped[BigId]
    name: Mapped[str] = mapped_column(unique=True)
    state: Mapped[RelayState] = mapped_column(text_enum(RelayState), server_default="active")
    state_reason: Mapped[str] = mapped_column(server_default="")
    limits: Mapped[RateLimits] = mapped_column(RateLimitsColumn, server_default="[]")
    slowed_rate: Mapped[float | None]
    slowed_from: Mapped[float | None]
    slowed_at: Mapped[datetime | None]
    slowed_until: Mapped[datetime | None]
    slowed_reason: Mapped[str] = mapped_column(server_default="")
    failure_count: Mapped[int] = mapped_column(server_default="0")
    retry_at: Mapped[datetime | None]
    probed_at: Mapped[datetime | None]
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


def lock(session: Session, relay_id: int) -> Relay:
    """As `get`, under a row lock: who changes it meanwhile waits. Raises NotFound."""
    relay = session.get(Relay, relay_id, with_for_update=True, populate_existing=True)
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


def note_answer(session: Session, relay_id: int) -> None:
    """A connection was opened, secured and signed in: forget what failed. Safe to repeat."""
    relay = session.scalars(select(Relay).where(Relay.id == relay_id).with_for_update()).one()
    relay.failure_count, relay.retry_at, relay.probed_at = 0, None, None


def note_success(session: Session, relay_id: int, now: datetime) -> None:
    """The relay took a mail."""
    relay = session.scalars(select(Relay).where(Relay.id == relay_id).with_for_update()).one()
    relay.last_success_at = now


def try_now(session: Session, relay_id: int, now: datetime) -> None:
    """Do not wait for `retry_at`: the next mail is the probe. Raises Conflict when no failure is known."""
    relay = session.scalars(select(Relay).where(Relay.id == relay_id).with_for_update()).one()
    if not relay.failure_count:
        raise Conflict("The relay is not known to be away, so there is nothing to try; a test shows how it is doing.")
    relay.retry_at, relay.probed_at = now, None


def pause(session: Session, relay_id: int, reason: str) -> None:
    """Nothing is handed to this relay until it is resumed."""
    relay = session.scalars(select(Relay).where(Relay.id == relay_id).with_for_update()).one()
    relay.state, relay.state_reason = RelayState.PAUSED, reason[:500]


def resume(session: Session, relay_id: int) -> None:
    """Hand mail over again, and forget earlier failures."""
    relay = session.scalars(select(Relay).where(Relay.id == relay_id).with_for_update()).one()
    relay.state, relay.state_reason = RelayState.ACTIVE, ""
    relay.failure_count, relay.retry_at, relay.probed_at = 0, None, None


def change_limits(session: Session, relay_id: int, wanted: RateLimits, now: datetime) -> Relay:
    """How fast mail is handed over (none: as fast as the relay takes it). Raises Invalid.

    Every send process acts on it within a second.
    """
    if problems := limits.problems_of(wanted):
        raise Invalid("The relay's limits cannot be saved.", problems)
    relay = lock(session, relay_id)
    relay.limits, relay.updated_at = limits.in_order(wanted), now
    return relay
