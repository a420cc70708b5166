"""Welcoming: whoever waits for the welcome mail of a list is appended to its standing mailing."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.audience.welcomes import is_somebody_waiting
from email_campaign.campaigns.mailings import Mailing
from email_campaign.campaigns.welcome_mail import lock_list, open_welcome
from email_campaign.delivery.deliveries import count_moves
from email_campaign.delivery.enrol import lay_stretch
from email_campaign.settings import Settings

PAGE = 2_000


def enrol_waiting(session: Session, list_id: int, settings: Settings, now: datetime) -> bool:
    """Enrol the next page of those who wait; whether there is more to come. Safe to repeat, also side by side.

    Rows, their stretch and the mark that they wait no more are one commit. A second copy for the same address would
    break the unique key, and with it the page.
    """
    one = lock_list(session, list_id)
    if not is_somebody_waiting(session, list_id):
        return False
    mailing = open_welcome(session, one, settings, now)
    return mailing is not None and _enrol(session, mailing, list_id) == PAGE


def _enrol(session: Session, mailing: Mailing, list_id: int) -> int:
    values = {"mailing": mailing.id, "list": list_id, "next": mailing.next_position, "limit": PAGE}
    page = session.execute(_ENROL, values).one()
    if page.selected:
        mailing.enrolled_count += page.selected
        # Counters before the stretch, in the order of the dispatcher.
        count_moves(session, mailing.id, {"pending": page.selected - page.skipped, "skipped": page.skipped})
        _lengthen_stretch(session, mailing, page.selected)
    return int(page.selected)


def _lengthen_stretch(session: Session, mailing: Mailing, size: int) -> None:
    """One stretch for all: of many, the dispatcher would have to walk over those that are cut already."""
    last = mailing.next_position - 1
    if session.execute(_LENGTHEN, {"mailing": mailing.id, "last": last, "size": size}).one_or_none() is None:
        lay_stretch(session, mailing, size)
    else:
        mailing.next_position += size


_LENGTHEN = text("""
UPDATE stretches SET last_position = last_position + :size WHERE mailing_id = :mailing AND last_position = :last
RETURNING first_position
""")

# The row of the list is locked: nobody else takes of those who wait. Who comes meanwhile is not in this snapshot.
_ENROL = text("""
WITH page AS (
    SELECT w.address_hash, w.contact_id, row_number() OVER (ORDER BY w.confirmed_at, w.contact_id) - 1 AS place,
        CASE
            WHEN NOT EXISTS (SELECT FROM contacts c WHERE c.id = w.contact_id) THEN 'erased'
            WHEN EXISTS (SELECT FROM suppressions x WHERE x.address_hash = w.address_hash) THEN 'suppressed'
            WHEN NOT EXISTS (
                SELECT FROM subscriptions s
                WHERE s.list_id = w.list_id AND s.contact_id = w.contact_id AND s.state = 'confirmed'
            ) THEN 'unsubscribed'
        END AS barred
    FROM (
        SELECT * FROM welcomes WHERE list_id = :list AND mailing_id IS NULL
        ORDER BY confirmed_at, contact_id LIMIT :limit
    ) w
), inserted AS (
    INSERT INTO deliveries (mailing_id, position, contact_id, address_hash, state, reason, changed_at)
    SELECT :mailing, :next + place, contact_id, address_hash,
        CASE WHEN barred IS NULL THEN 'pending' ELSE 'skipped' END, barred, now()
    FROM page
), marked AS (
    UPDATE welcomes w SET mailing_id = :mailing FROM page WHERE w.list_id = :list AND w.address_hash = page.address_hash
)
SELECT count(*) AS selected, count(barred) AS skipped FROM page
""")
