"""Attempts: the send log, one row per SMTP transaction of a delivery, append-only."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, SmallInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base

UNSTORED_REPLY = "(the reply could not be stored"
"""How the words begin that stand for a reply which Postgres refused. Code and enhanced code are left out with it."""


class Attempt(Base):
    """What happened once to one copy: who said what, when, at which step.

    `phase` is the step that brought the verdict (connect, mail, rcpt, data, body, render, sweep, hand).
    `spared` attempts do not count towards the recipient's retries; `late` ones came after the delivery was taken away
    from the worker that made them. `message_sha256` is the hash of the bytes that were handed over, `variables` what
    they were composed from.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        # What went out in the last hour or day: rows lie in the order of their time, so a few pages tell, and an
        # insert pays next to nothing.
        Index(
            None,
            "finished_at",
            postgresql_using="brin",
            postgresql_with={"pages_per_range": 32, "autosummarize": True},
        ),
        {
            "postgresql_with": {
                "autovacuum_vacuum_insert_scale_factor": "0.1",
                "autovacuum_analyze_scale_factor": "0.05",
            }
        },
    )

    mailing_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    worker_id: Mapped[int]
    relay_id: Mapped[int]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    code: Mapped[int | None] = mapped_column(SmallInteger)
    spared: Mapped[bool]
    late: Mapped[bool]
    verdict: Mapped[str]
    phase: Mapped[str]
    enhanced_code: Mapped[str | None]
    reply: Mapped[str]
    message_sha256: Mapped[bytes | None]
    variables: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
