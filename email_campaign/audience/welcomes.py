"""Welcomes: who is to get the welcome mail of a list, and who got it: once a list and address, for ever."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ForeignKey, Index, delete, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.db import Base


class Welcome(Base):
    """An address that was confirmed on a list with a welcome mail, written in the transaction that confirmed it.

    It waits while `mailing_id` is empty. The row stays: who leaves and comes back, or is erased and comes back, has
    been welcomed before.
    """

    __tablename__ = "welcomes"
    __table_args__ = (
        Index("ix_welcomes_waiting", "list_id", "confirmed_at", postgresql_where=text("mailing_id IS NULL")),
    )

    list_id: Mapped[int] = mapped_column(ForeignKey("mailing_lists.id"), primary_key=True)
    address_hash: Mapped[bytes] = mapped_column(primary_key=True)
    contact_id: Mapped[int]
    confirmed_at: Mapped[datetime]
    mailing_id: Mapped[int | None]


def welcome(session: Session, contact_id: int, list_id: int, now: datetime) -> None:
    """Let a contact who is confirmed just now get the list's welcome mail, if it has one. Safe to repeat."""
    session.execute(_WELCOME, {"contact": contact_id, "list": list_id, "now": now})


def waiting_lists(session: Session, before: datetime) -> Sequence[int]:
    """Lists on which somebody has been waiting since before this time."""
    waiting = select(Welcome.list_id).where(Welcome.mailing_id.is_(None), Welcome.confirmed_at <= before)
    return session.scalars(waiting.distinct().order_by(Welcome.list_id)).all()


def is_somebody_waiting(session: Session, list_id: int) -> bool:
    """Whether anybody waits for the welcome mail of this list."""
    waiting = select(Welcome.contact_id).where(Welcome.list_id == list_id, Welcome.mailing_id.is_(None))
    return session.scalar(waiting.limit(1)) is not None


def dismiss(session: Session, list_id: int) -> None:
    """The list has no welcome mail any more: nobody waits for it. Safe to repeat."""
    session.execute(delete(Welcome).where(Welcome.list_id == list_id, Welcome.mailing_id.is_(None)))


_WELCOME = text("""
INSERT INTO welcomes (list_id, address_hash, contact_id, confirmed_at)
SELECT l.id, c.address_hash, c.id, :now FROM mailing_lists l, contacts c
WHERE l.id = :list AND l.welcome_template_id IS NOT NULL AND c.id = :contact
ON CONFLICT (list_id, address_hash) DO NOTHING
""")
