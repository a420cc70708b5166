"""Signs of life: when something was last seen done – a task taken from a queue, a sweep come to its end."""

from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.db import Base

SWEEP = "sweep"
"""The name of the sweep's sign. Those of queues are the queues' own names."""


class Sign(Base):
    """When the thing of this name was last done; one row a name."""

    __tablename__ = "signs"

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


def give_sign(session: Session, name: str) -> None:
    """It was done now. Safe to repeat."""
    session.execute(_GIVE, {"name": name})


def signs(session: Session) -> dict[str, datetime]:
    """Every sign with its time."""
    return {sign.name: sign.at for sign in session.scalars(select(Sign))}


_GIVE = text("""
INSERT INTO signs (name, at) VALUES (:name, now()) ON CONFLICT (name) DO UPDATE SET at = excluded.at
""")
