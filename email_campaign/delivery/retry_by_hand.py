"""Retry by hand: rejected and deferred copies become due again, because somebody asked for it."""

import enum
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import MailingState, get_for_update, note, reopen
from email_campaign.errors import Conflict

MOST_AT_ONCE = 100_000


class Retryable(enum.StrEnum):
    """What can be asked for again; unknown copies are resolved (`unknown.py`).

    A hard bounce stays suppressed, so it is skipped unless that is lifted.
    """

    REJECTED = "rejected"
    DEFERRED = "deferred"


def retry(session: Session, mailing_id: int, which: Retryable, *, actor: str, now: datetime) -> int:
    """Make the copies in this state due now, with their retries and their time limit before them anew.

    Opens a finished mailing again. Returns how many; at most 100,000 at once, the rest by asking again.
    Raises Conflict for a mailing that is cancelled or was never launched.
    """
    mailing = get_for_update(session, mailing_id)
    if mailing.state not in {MailingState.SENDING, MailingState.PAUSED, MailingState.FINISHED}:
        raise Conflict(f"A {mailing.kind} that is {mailing.state} has nothing to try again.")
    count = len(
        session.execute(_MAKE_DUE, {"mailing": mailing_id, "state": which, "now": now, "most": MOST_AT_ONCE}).all()
    )
    if count:
        if mailing.state is MailingState.FINISHED:
            reopen(session, mailing, actor=actor, detail=f"{count} {which} are tried again")
        else:
            note(session, mailing_id, actor=actor, kind="retried", detail=f"{count} {which} are tried again")
    return count


_MAKE_DUE = text("""
WITH chosen AS (
    SELECT mailing_id, position FROM deliveries
    WHERE mailing_id = :mailing AND trouble = :state AND (next_attempt_at IS NULL OR next_attempt_at > :now)
    ORDER BY position LIMIT :most FOR UPDATE
)
UPDATE deliveries d SET next_attempt_at = :now, first_attempt_at = NULL, burnt_count = 0, spared_count = 0
FROM chosen WHERE d.mailing_id = chosen.mailing_id AND d.position = chosen.position
RETURNING d.position
""")
