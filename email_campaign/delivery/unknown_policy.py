"""The policy for unknown copies: held until somebody decides, or sent again once, by itself."""

from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import Mailing, MailingState, UnknownPolicy, get_for_update, note, reopen
from email_campaign.errors import Conflict

RESENT_A_SWEEP = 1_000
"""Neither a change of mind nor a relay that hung up on everybody makes a storm."""

WAITS_FOR_RESEND = """d.trouble = 'unknown' AND d.next_attempt_at IS NULL AND NOT EXISTS (
        SELECT FROM attempts a
        WHERE a.mailing_id = d.mailing_id AND a.position = d.position AND a.verdict = 'unknown' AND NOT a.late OFFSET 1)
"""
"""Rows `d` that the policy *resend* has not sent again yet. Once: a relay that always hangs up after the dot may well
deliver every one of them. A late attempt tells of a mail that another attempt tells of already."""


def change_policy(session: Session, mailing_id: int, policy: UnknownPolicy, *, actor: str) -> None:
    """What happens from now on with unknown copies, those that are unknown already among them. Safe to repeat.

    *Resend* leaves it to the sweep to make them due, and opens a finished mailing again where there are any. *Hold*
    takes back what was due and not handed out. Raises NotFound, and Conflict for a mailing that is cancelled.
    """
    mailing = get_for_update(session, mailing_id)
    if mailing.state is MailingState.CANCELLED:
        raise Conflict(f"Nothing of a {mailing.kind} that is cancelled is sent again; decide about each unknown copy.")
    if mailing.unknown_policy is policy:
        return
    mailing.unknown_policy = policy
    note(session, mailing_id, actor=actor, kind="unknown_policy", detail=policy)
    if policy is UnknownPolicy.HOLD:
        session.execute(_TAKE_BACK, {"mailing": mailing_id})
    elif mailing.state is MailingState.FINISHED and session.execute(_ANY_WAITS, {"mailing": mailing_id}).scalar():
        reopen(session, mailing, actor=actor, detail="Unknown copies are sent again, once.")


def resend_by_policy(session: Session, mailing_id: int, delay_seconds: float, now: datetime) -> int:
    """Where the policy is to resend, make unknown copies due `delay_seconds` after they became unknown, once each.

    At most a thousand; the next sweep takes the next ones. Looks before it locks: an enrolment holds the lock for most
    of its time. Returns how many. Safe to repeat.
    """
    policy = session.scalar(select(Mailing.unknown_policy).where(Mailing.id == mailing_id))
    if policy is UnknownPolicy.HOLD or not session.execute(_ANY_WAITS, {"mailing": mailing_id}).scalar():
        return 0
    mailing = get_for_update(session, mailing_id)
    if mailing.unknown_policy is UnknownPolicy.HOLD or mailing.state not in {MailingState.SENDING, MailingState.PAUSED}:
        return 0
    values = {"mailing": mailing_id, "delay": delay_seconds, "now": now, "most": RESENT_A_SWEEP}
    return len(session.execute(_MAKE_DUE, values).all())


_TAKE_BACK = text("""
UPDATE deliveries SET next_attempt_at = NULL
WHERE mailing_id = :mailing AND trouble = 'unknown' AND next_attempt_at IS NOT NULL
""")

_ANY_WAITS = text(f"""
SELECT EXISTS (SELECT FROM deliveries d WHERE d.mailing_id = :mailing AND {WAITS_FOR_RESEND})
""")  # noqa: S608 – constants of this file only

_MAKE_DUE = text(f"""
WITH chosen AS (
    SELECT d.mailing_id, d.position FROM deliveries d
    WHERE d.mailing_id = :mailing AND {WAITS_FOR_RESEND}
    ORDER BY d.position LIMIT :most FOR UPDATE
)
UPDATE deliveries d SET next_attempt_at = greatest(:now, d.changed_at + make_interval(secs => :delay))
FROM chosen WHERE d.mailing_id = chosen.mailing_id AND d.position = chosen.position
RETURNING d.position
""")  # noqa: S608 – constants of this file only
