"""Holds: slices wait for a limit or for the relay, and are let go as soon as the cause of their waiting is gone."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Hold:
    """Why the rest of a slice goes back, and until when (None: at once)."""

    reason: str
    until: datetime | None = None


def release(session: Session, reason: str, mailing_id: int | None = None) -> None:
    """Let slices go that were put back for this reason (`limit`, `relay`), of one mailing or of all. Safe to repeat.

    Without it a slice would keep the time that an old limit gave it, however far that is.
    """
    session.execute(_RELEASE, {"reason": reason, "mailing": mailing_id})


_RELEASE = text("""
UPDATE slices SET due_at = NULL, hold_reason = NULL
WHERE closed_at IS NULL AND worker_id IS NULL AND hold_reason = :reason
    AND mailing_id = coalesce(CAST(:mailing AS bigint), mailing_id)
""")
