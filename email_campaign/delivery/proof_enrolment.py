"""The enrolment of a proof: nobody has two copies, and nobody who was confirmed at the launch has none."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from email_campaign.delivery.proof_checks import Tally


@dataclass(frozen=True, slots=True)
class Key:
    """A column of which no value may stand twice in a mailing, read in the order of its index."""

    noun: str
    page: TextClause


@dataclass(frozen=True, slots=True)
class Page:
    """The next `size` rows of a mailing after those that `after` names; empty: the first ones."""

    mailing_id: int
    after: list[Any]
    size: int


def check_unique(session: Session, key: Key, page: Page, unique: Tally) -> tuple[int, list[Any]]:
    """Compare each value with the one before it; how many rows were read, and where to go on (empty: at the end)."""
    value, position = page.after or (None, 0)
    values = {"mailing": page.mailing_id, "value": value, "position": position, "size": page.size}
    read = session.execute(key.page, values).one()
    unique.checked_count += read.row_count
    for twice in sorted(read.twice):
        unique.add_wrong(f"Its {key.noun} has another copy, too.", f"{page.mailing_id}-{twice}")
    return read.row_count, [read.value, read.position] if read.row_count == page.size else []


def check_members(session: Session, page: Page, members: Tally) -> tuple[int, list[Any]]:
    """Read the audience anew as the enrolment read it; how many were read, and where to go on (empty: at the end).

    Who left or was erased since has left the lists, too, or is counted as unsubscribed after the launch.
    """
    values = {"mailing": page.mailing_id, "cursor": page.after[0] if page.after else 0, "size": page.size}
    read = session.execute(_MEMBERS, values).one()
    members.checked_count += read.row_count
    for contact_id in read.without:
        members.add_wrong(f"The contact {contact_id} was confirmed at the launch and has no copy.")
    return read.row_count, [read.last] if read.row_count == page.size else []


def _page_of(column: str, start: str, shown: str) -> TextClause:
    return text(f"""
WITH page AS (
    SELECT {column} AS value, position FROM deliveries
    WHERE mailing_id = :mailing AND ({column}, position) > ({start}, :position)
    ORDER BY {column}, position LIMIT :size
), compared AS (
    SELECT value, position, value = lag(value, 1, {start}) OVER (ORDER BY value, position) AS is_twice
    FROM page
), last AS (
    SELECT value, position FROM page ORDER BY value DESC, position DESC LIMIT 1
)
SELECT (SELECT count(*) FROM page) AS row_count, (SELECT {shown} FROM last) AS value,
    (SELECT position FROM last) AS position,
    ARRAY (SELECT position FROM compared WHERE is_twice) AS twice
""")  # noqa: S608 – constants of this file only


CONTACT = Key("contact", _page_of("contact_id", "coalesce(CAST(:value AS bigint), 0)", "value"))
ADDRESS = Key(
    "address", _page_of("address_hash", "coalesce(decode(:value, 'hex'), CAST('' AS bytea))", "encode(value, 'hex')")
)

_MEMBERS = text("""
WITH member AS (
    SELECT DISTINCT s.contact_id FROM mailings m
    CROSS JOIN LATERAL unnest(m.list_ids) AS l(list_id)
    CROSS JOIN LATERAL (
        SELECT s.contact_id FROM subscriptions s
        WHERE s.list_id = l.list_id AND s.contact_id > :cursor AND s.confirmed_at <= m.launched_at
            AND (s.state = 'confirmed' OR s.state = 'unsubscribed' AND s.unsubscribed_at > m.launched_at)
        ORDER BY s.contact_id LIMIT :size
    ) s
    WHERE m.id = :mailing
    ORDER BY s.contact_id LIMIT :size
)
SELECT count(*) AS row_count, max(contact_id) AS last,
    ARRAY (
        SELECT c.id FROM member JOIN contacts c ON c.id = member.contact_id
        WHERE NOT EXISTS (
            SELECT FROM deliveries d WHERE d.mailing_id = :mailing AND d.address_hash = c.address_hash)
        ORDER BY c.id
    ) AS without
FROM member
""")
