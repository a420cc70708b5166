"""Enrolment: the audience of a mailing is frozen into deliveries, page by page, before any of them is sent."""

from datetime import datetime

from sqlalchemy import Integer, cast, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from email_campaign.address import address_hash
from email_campaign.campaigns.mailings import Mailing, MailingKind, MailingState, get_for_update, note
from email_campaign.delivery.deliveries import count_moves
from email_campaign.delivery.orders import first_list_name
from email_campaign.settings import Settings
from email_campaign.signing import derive_key

ENROL_LOCK = 0x6D65
"""First half of an advisory lock's key, the mailing is the second: one enrols it at a time."""
SORT_MEMORY = "32MB"
"""A page of 50,000 is sorted in memory."""


class EnrolmentBroken(RuntimeError):
    """A page inserted fewer rows than it selected: a copy would be missing, so nothing of the page is kept."""


def enrol_page(session: Session, mailing_id: int, settings: Settings, now: datetime) -> bool:
    """Enrol the next page of the audience; whether there is more to come. Safe to repeat, also side by side.

    The first page is small, so that sending starts at once, and each next one as large as all before it, so that the
    send workers never wait for a long one. Rows, their stretch and the cursor are one commit. Where somebody else is at
    a page of it there is nothing to come for this caller: whoever is ahead goes on.
    """
    if not session.scalar(select(func.pg_try_advisory_xact_lock(ENROL_LOCK, cast(mailing_id, Integer)))):
        return False
    mailing = get_for_update(session, mailing_id)
    if mailing.enrolled_at is not None or mailing.launched_at is None:
        return False
    mailing.enrolled_to_at = now
    if mailing.public_url is None:
        # What is composed again years later must give the same bytes, also after a move or a renamed list.
        mailing.public_url, mailing.list_name = settings.public_url, first_list_name(session, mailing)
    if mailing.kind is MailingKind.CAMPAIGN:
        limit = min(settings.enrol_page, max(settings.enrol_first_page, mailing.enrolled_count))
        session.execute(select(func.set_config("work_mem", SORT_MEMORY, True)))
        selected = _enrol_contacts(session, mailing, limit)
    else:
        limit = 2
        selected = _enrol_recipient(session, mailing, settings)
    if selected < limit:
        mailing.enrolled_at = now
        note(session, mailing_id, actor="system", kind="enrolled", detail=str(mailing.enrolled_count))
    return mailing.enrolled_at is None


def lay_stretch(session: Session, mailing: Mailing, size: int) -> None:
    """So many positions from the mailing's next one on are enrolled, and nobody has cut them into slices yet."""
    first = mailing.next_position
    session.execute(_STRETCH, {"mailing": mailing.id, "first": first, "last": first + size - 1})
    mailing.next_position = first + size


def _enrol_contacts(session: Session, mailing: Mailing, limit: int) -> int:
    # Who was in the audience at launch is counted, also when the campaign was cancelled meanwhile.
    state = "cancelled" if mailing.state is MailingState.CANCELLED else "pending"
    values = {
        "mailing": mailing.id,
        "lists": mailing.list_ids,
        "launched": mailing.launched_at,
        "cursor": mailing.enrol_cursor,
        "limit": limit,
        "next": mailing.next_position,
        "state": state,
    }
    session.execute(_IN_ORDER)
    try:
        with session.begin_nested():
            page = session.execute(_ENROL, values).one()
    except IntegrityError:
        # Somebody is enrolled already, under another contact that was erased since. To allow for that in every page
        # would cost a fifth of its time.
        page = session.execute(_ENROL_THE_REST, values).one()
    if page.selected != page.inserted + page.repeated:
        raise EnrolmentBroken(f"mailing {mailing.id}: {page.selected} selected, {page.inserted} inserted")
    if page.selected:
        lay_stretch(session, mailing, page.selected)
        mailing.enrol_cursor = page.last_contact
        mailing.enrolled_count += page.inserted
        ready = page.inserted - page.skipped
        count_moves(session, mailing.id, {state: ready, "skipped": page.skipped})
    return int(page.selected)


def _enrol_recipient(session: Session, mailing: Mailing, settings: Settings) -> int:
    """A mailing of one carries its recipient itself."""
    address = mailing.recipient_address or ""
    key = derive_key(settings.secret_key.get_secret_value(), "address")
    values = {"mailing": mailing.id, "hash": address_hash(key, address)}
    if session.execute(_ENROL_ONE, values).one_or_none() is None:
        return 0
    lay_stretch(session, mailing, 1)
    mailing.enrolled_count = 1
    count_moves(session, mailing.id, {"pending": 1})
    return 1


# Tables that were filled a moment ago have no statistics: the planner would then read and sort the whole list for every
# page. For the same reason the index over list and state may not be taken: `state || ''`, `list_id + 0`.
_IN_ORDER = text("SET LOCAL enable_bitmapscan = off")

# The audience are those confirmed at launch; who left between launch and this page gets a row, skipped. Each list is
# read in order from the cursor, so that a page costs the same at the millionth contact. Positions go by the hash of the
# address within the page, so that domains interleave; the rows come in that order, which spares a second sort. The few
# who left are looked up one by one: for an EXISTS, Postgres would hash the whole list.
_PAGE = """
WITH member AS (
    SELECT m.contact_id, bool_or(m.is_confirmed) AS is_confirmed FROM unnest(CAST(:lists AS bigint[])) AS l(list_id)
    CROSS JOIN LATERAL (
        SELECT s.contact_id, s.state = 'confirmed' AS is_confirmed FROM subscriptions s
        WHERE s.list_id = l.list_id AND s.contact_id > :cursor AND s.confirmed_at <= :launched
            AND (s.state || '' = 'confirmed' OR s.state || '' = 'unsubscribed' AND s.unsubscribed_at > :launched)
        ORDER BY s.contact_id LIMIT :limit
    ) m
    GROUP BY m.contact_id ORDER BY m.contact_id LIMIT :limit
), page AS (
    SELECT c.id, c.address_hash, row_number() OVER (ORDER BY c.address_hash) - 1 AS place,
        CASE
            WHEN EXISTS (SELECT FROM suppressions x WHERE x.address_hash = c.address_hash) THEN 'suppressed'
            WHEN NOT member.is_confirmed AND (
                SELECT true FROM subscriptions s
                WHERE s.contact_id = c.id AND s.list_id + 0 = ANY (:lists) AND s.state = 'confirmed' LIMIT 1
            ) IS NULL THEN 'unsubscribed'
        END AS barred
    FROM member JOIN contacts c ON c.id = member.contact_id
), inserted AS (
    INSERT INTO deliveries (mailing_id, position, contact_id, address_hash, state, reason, changed_at)
    SELECT :mailing, :next + place, id, address_hash, CASE WHEN barred IS NULL THEN :state ELSE 'skipped' END, barred,
        now()
    FROM page
"""

_COUNTED = """)
SELECT count(*) AS selected, max(id) AS last_contact, count(*) AS inserted, count(barred) AS skipped, 0 AS repeated
FROM page
"""

_WITHOUT_REPEATED = """
    ON CONFLICT (mailing_id, address_hash) DO NOTHING
    RETURNING state
), counted AS MATERIALIZED (
    SELECT (SELECT count(*) FROM page) AS selected, (SELECT max(id) FROM page) AS last_contact, count(*) AS inserted,
        count(*) FILTER (WHERE state = 'skipped') AS skipped
    FROM inserted
)
SELECT counted.*, (
        SELECT count(*) FROM page WHERE EXISTS (
            SELECT FROM deliveries d WHERE d.mailing_id = :mailing AND d.address_hash = page.address_hash)
    ) AS repeated
FROM counted
"""

_ENROL, _ENROL_THE_REST = text(_PAGE + _COUNTED), text(_PAGE + _WITHOUT_REPEATED)

_ENROL_ONE = text("""
INSERT INTO deliveries (mailing_id, position, address_hash, state, changed_at)
VALUES (:mailing, 1, :hash, 'pending', now())
ON CONFLICT (mailing_id, address_hash) DO NOTHING
RETURNING position
""")

_STRETCH = text("""
INSERT INTO stretches (mailing_id, first_position, last_position, frontier, lane)
VALUES (:mailing, :first, :last, :first, 0)
""")
