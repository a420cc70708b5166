"""Who stands in the ledger: asked before contacts go that an import made."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import Mailing, MailingKind

CLOCKS_APART = timedelta(minutes=10)
"""The import was taken in by one machine, and the audience by another."""


def mailed(session: Session, contact_ids: Sequence[int], since: datetime) -> set[int]:
    """Which of these contacts have a copy, in whatever state, of a mailing that was still enrolling since then."""
    enrolling = select(Mailing.id).where(
        Mailing.launched_at.is_not(None),
        Mailing.recipient_address.is_(None),
        or_(
            Mailing.enrolled_at.is_(None),
            Mailing.enrolled_at >= since - CLOCKS_APART,
            Mailing.kind == MailingKind.TRANSACTIONAL,
        ),
    )
    mailing_ids = session.scalars(enrolling).all()
    return set(session.scalars(_MAILED, {"contacts": list(contact_ids), "mailings": list(mailing_ids)}))


# A probe of an index for each contact and mailing, whatever the planner thinks of the ledger's size.
_MAILED = text("""
SELECT DISTINCT c FROM unnest(CAST(:contacts AS bigint[])) AS c CROSS JOIN unnest(CAST(:mailings AS bigint[])) AS m
CROSS JOIN LATERAL (SELECT FROM deliveries d WHERE d.mailing_id = m AND d.contact_id = c LIMIT 1) AS copy
""")
