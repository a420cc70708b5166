"""Idempotency keys: the same request sent twice is carried out once and answered the same.

Source: draft-ietf-httpapi-idempotency-key-header. The key and the effect of its request commit together: a crash in
between leaves neither, and the request may be sent again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Index, delete, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.db import Base, BigId, CreatedAt
from email_campaign.errors import Conflict, Invalid

KEPT = timedelta(hours=24)
MAX_KEY_CHARACTERS = 255
FIELD = "Idempotency-Key"


class IdempotencyKey(Base):
    """A request that a client named, with the answer that it got."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "owner", "key", unique=True),)

    id: Mapped[BigId]
    owner: Mapped[str]
    key: Mapped[str]
    request_hash: Mapped[bytes]
    response_status: Mapped[int]
    response_body: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[CreatedAt]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the first request of a key was answered with."""

    status: int
    body: dict[str, Any]


def claim(session: Session, *, owner: str, key: str, request_hash: bytes, now: datetime) -> Answer | None:
    """None where the request is to be carried out, in this transaction; the answer where it was already.

    The key stays locked until the transaction ends. Raises Conflict while another transaction has it, and Invalid
    where the key named another request.
    """
    if not 0 < len(key) <= MAX_KEY_CHARACTERS or not key.isprintable():
        raise Invalid.field(FIELD, f"The key needs 1 to {MAX_KEY_CHARACTERS} printable characters.")
    # The row cannot be locked before it exists; its name can.
    name = func.hashtextextended(f"{owner}\n{key}", 0)
    if not session.scalar(select(func.pg_try_advisory_xact_lock(name))):
        raise Conflict("A request with this Idempotency-Key is being carried out. Ask again in a moment.")
    known = session.scalar(select(IdempotencyKey).where(IdempotencyKey.owner == owner, IdempotencyKey.key == key))
    if known is not None and known.created_at <= now - KEPT:
        session.delete(known)
        session.flush()
        known = None
    if known is None:
        return None
    if known.request_hash != request_hash:
        raise Invalid.field(FIELD, "This key was sent with another request before. Use a new key for a new request.")
    return Answer(known.response_status, known.response_body or {})


def keep(session: Session, *, owner: str, key: str, request_hash: bytes, answer: Answer, now: datetime) -> None:
    """Remember the answer; to be called in the transaction that `claim` was called in, before its commit."""
    session.add(
        IdempotencyKey(
            owner=owner,
            key=key,
            request_hash=request_hash,
            response_status=answer.status,
            response_body=answer.body,
            created_at=now,
        )
    )
    session.flush()


def purge(session: Session, *, now: datetime) -> None:
    """Forget the keys that are older than a day. Safe to repeat."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at <= now - KEPT))
