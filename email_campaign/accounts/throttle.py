"""The throttle: who fails to sign in too often, or asks too often for a reset, waits; counted by address and client."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import Index, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.address import BadAddress, normalise
from email_campaign.db import Base, BigId, SessionFactory
from email_campaign.errors import NotAllowed
from email_campaign.settings import Settings
from email_campaign.signing import derive_key, keyed_hash

THROTTLE = timedelta(minutes=15)


class SignInFailure(Base):
    """One failed sign-in or one asked-for reset, kept under a hash of its purpose and what was tried (address or
    client) until it no longer counts."""

    __tablename__ = "sign_in_failures"
    __table_args__ = (Index(None, "key_hash", "failed_at"),)

    id: Mapped[BigId]
    key_hash: Mapped[bytes]
    failed_at: Mapped[datetime] = mapped_column(index=True)


@dataclass(frozen=True, slots=True)
class Keys:
    """Under what one attempt counts."""

    address: bytes
    client: bytes


class TooMany(NotAllowed):
    """Too many attempts; `retry_at` says when the next one is looked at."""

    def __init__(self, what: str, retry_at: datetime) -> None:
        whole_minute = retry_at + timedelta(minutes=1)  # the text has no seconds, and must not name a time too early
        super().__init__(f"{what} Try again at {whole_minute:%H:%M} UTC or later.")
        self.retry_at = retry_at


def keys_of(settings: Settings, purpose: str, *, address: str, client: str) -> Keys:
    """The keys of an attempt of this purpose: one for the address that was typed, one for the client's network."""
    key = derive_key(settings.secret_key.get_secret_value(), purpose)
    return Keys(keyed_hash(key, "address " + _spelling(address)), keyed_hash(key, "client " + _network(client)))


def claim(factory: SessionFactory, keys: Keys, now: datetime) -> dict[bytes, int]:
    """Count an attempt before it is looked at: attempts that arrive together must see each other."""
    with factory.begin() as session:
        failures = [SignInFailure(key_hash=key, failed_at=now) for key in (keys.address, keys.client)]
        session.add_all(failures)
        session.flush()
        return {failure.key_hash: failure.id for failure in failures}


def throttled_until(session: Session, claimed: dict[bytes, int], limits: dict[bytes, int], now: datetime) -> datetime:
    """When the next attempt is let through; `now` where this one is. `limits` says how many each key may have."""
    waits = []
    for key, own_id in claimed.items():
        counted = select(SignInFailure.failed_at).where(
            SignInFailure.key_hash == key, SignInFailure.failed_at > now - THROTTLE, SignInFailure.id != own_id
        )
        if (session.scalar(select(func.count()).select_from(counted.subquery())) or 0) >= limits[key]:
            last = counted.order_by(SignInFailure.failed_at.desc()).offset(limits[key] - 1).limit(1)
            waits.append((session.scalar(last) or now) + THROTTLE)
    return max(waits, default=now)


def take_back(session: Session, claimed: dict[bytes, int]) -> None:
    """An attempt that was refused does not prolong the wait. Safe to repeat."""
    session.execute(delete(SignInFailure).where(SignInFailure.id.in_(claimed.values())))


def forgive(session: Session, key: bytes) -> None:
    """Forget what was counted under this key: whoever it is has proved themselves. Safe to repeat."""
    session.execute(delete(SignInFailure).where(SignInFailure.key_hash == key))


def purge(session: Session, *, now: datetime) -> None:
    """Forget what no longer counts. Safe to repeat."""
    session.execute(delete(SignInFailure).where(SignInFailure.failed_at <= now - THROTTLE))


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
