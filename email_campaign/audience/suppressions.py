"""Suppressions: addresses that are not mailed, and why."""

import enum
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Index, Select, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.address import BadAddress, address_hash, normalise
from email_campaign.audience.search import contains
from email_campaign.db import Base, BigId, CreatedAt, text_enum
from email_campaign.errors import Invalid, NotFound


class SuppressionReason(enum.StrEnum):
    """Why an address is not mailed."""

    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBED = "unsubscribed"
    BY_HAND = "by_hand"


class Suppression(Base):
    """An address that no mailing reaches. The hash decides; the address may be erased with the person."""

    __tablename__ = "suppressions"
    __table_args__ = (
        Index(
            "ix_suppressions_search",
            "address",
            postgresql_using="gin",
            postgresql_ops={"address": "gin_trgm_ops"},
        ),
        # What was suppressed in a day or a month: rows lie in the order of their time.
        Index(
            None,
            "created_at",
            postgresql_using="brin",
            postgresql_with={"pages_per_range": 32, "autosummarize": True},
        ),
    )

    id: Mapped[BigId]
    address_hash: Mapped[bytes] = mapped_column(unique=True)
    address: Mapped[str | None]
    reason: Mapped[SuppressionReason] = mapped_column(text_enum(SuppressionReason))
    detail: Mapped[str] = mapped_column(server_default="")
    mailing_id: Mapped[int | None]
    created_at: Mapped[CreatedAt]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an address is suppressed: `detail` is for people (the relay's reply, a note), `mailing_id` what led to it."""

    reason: SuppressionReason
    detail: str = ""
    mailing_id: int | None = None


def suppress(session: Session, address_key: bytes, address: str, cause: Cause, now: datetime) -> Suppression:
    """Mail this address no more. Safe to repeat: the first reason stays. Raises Invalid for a bad address."""
    try:
        address = normalise(address)
    except BadAddress as error:
        raise Invalid.field("address", str(error)) from error
    digest = address_hash(address_key, address)
    session.execute(
        insert(Suppression)
        .values(
            address_hash=digest,
            address=address,
            reason=cause.reason,
            detail=cause.detail.replace("\0", ""),
            mailing_id=cause.mailing_id,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=[Suppression.address_hash])
    )
    return session.scalars(select(Suppression).where(Suppression.address_hash == digest)).one()


def get_suppression(session: Session, suppression_id: int) -> Suppression:
    """Raises NotFound."""
    suppression = session.get(Suppression, suppression_id)
    if suppression is None:
        raise _no_suppression(suppression_id)
    return suppression


def find_suppression(session: Session, digest: bytes) -> Suppression | None:
    """The suppression of the address with this hash, if it has one."""
    return session.scalars(select(Suppression).where(Suppression.address_hash == digest)).one_or_none()


def suppressions_matching(address_key: bytes, term: str = "") -> Select[Suppression]:
    """Suppressions with the term in the address, unordered. A whole address finds an erased person's too, by hash."""
    query = select(Suppression)
    term = term.strip()
    if not term:
        return query
    try:
        digest = address_hash(address_key, normalise(term))
    except BadAddress:
        return query.where(contains(term, Suppression.address))
    return query.where(or_(contains(term, Suppression.address), Suppression.address_hash == digest))


def lift_suppression(session: Session, suppression_id: int) -> None:
    """Allow the address again. Raises NotFound."""
    suppression = session.get(Suppression, suppression_id, with_for_update=True)
    if suppression is None:
        raise _no_suppression(suppression_id)
    session.delete(suppression)
    session.flush()


def _no_suppression(suppression_id: int) -> NotFound:
    return NotFound(f"There is no suppression {suppression_id}; it may have been lifted already.")
