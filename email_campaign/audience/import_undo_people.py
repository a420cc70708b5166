"""A page of an import's people: what an undo does to each, or why it leaves them, and the doing of it."""

import enum
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.audience.import_contacts import MARK, event_detail
from email_campaign.audience.imports import Import
from email_campaign.audience.subscriptions import Change, Source, SubscriptionState

Mailed = Callable[[Session, Sequence[int], datetime], Collection[int]]
"""Which of these contacts a mailing has that had its audience since then. The ledger knows, on a floor above."""


class Left(enum.StrEnum):
    """Why something that an import did stays, by the name that the result counts it under."""

    CHANGED = "left_changed"
    IMPORTED = "left_imported"
    MAILED = "left_mailed"
    UNSUBSCRIBED = "left_unsubscribed"
    LISTED = "left_listed"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one person: with `left` something of the import's stays, and why."""

    contact_id: int
    goes: bool = False
    restored: tuple[str, dict[str, Any]] | None = None
    leaves_list: bool = False
    left: Left | None = None


def read_page(session: Session, undone: Import, after: int, size: int) -> list[int]:
    """The next contacts that the import met, by id."""
    return list(session.scalars(_PAGE, {"import": undone.id, "after": after, "size": size}))


def lock_people(session: Session, undone: Import, contact_ids: Sequence[int]) -> None:
    """Let nobody else change them or their place on the list. In the order of a person's own unsubscribing."""
    session.execute(_LOCK_SUBSCRIPTIONS, {"list": undone.list_id, "ids": contact_ids})
    session.execute(_LOCK_CONTACTS, {"ids": contact_ids})


def decide(session: Session, undone: Import, contact_ids: Sequence[int], mailed: Mailed) -> list[Fate]:
    """The fate of each of these contacts, but for those who are gone already."""
    found = {"import": undone.id, "list": undone.list_id, "ids": contact_ids, "detail": event_detail(undone.id)}
    rows = session.execute(_LOOK, found).all()
    created = [row.contact_id for row in rows if row.was_created]
    in_ledger = frozenset(mailed(session, created, undone.created_at)) if created else frozenset()
    return [_fate(row, is_mailed=row.contact_id in in_ledger) for row in rows]


def carry_out(
    session: Session, undone: Import, contact_ids: Sequence[int], fates: Sequence[Fate], now: datetime
) -> None:
    """Do it. The import's claim stays on those of whom something is left, so that it can be tried again later."""
    going = [fate.contact_id for fate in fates if fate.goes]
    leaving = [fate.contact_id for fate in fates if fate.leaves_list and not fate.goes]
    values = {"list": undone.list_id, "now": now}
    session.execute(_UNWELCOME, values | {"ids": going + leaving})
    if leaving:
        told = {"source": Source.IMPORT, "detail": f"{event_detail(undone.id)}, undone"}
        session.execute(_TAKE_BACK, values | told | {"ids": leaving, "gone": Change.TAKEN_BACK})
    if going:
        session.execute(_GO, {"ids": going})
    rows = [
        {"id": fate.contact_id, "name": fate.restored[0], "attributes": fate.restored[1]}
        for fate in fates
        if fate.restored is not None
    ]
    if rows:
        session.execute(_RESTORE, {"rows": json.dumps(rows, ensure_ascii=False), "now": now})
    left = {fate.contact_id for fate in fates if fate.left}
    session.execute(_FORGET, {"import": undone.id, "ids": [one for one in contact_ids if one not in left]})


def _fate(row: Any, *, is_mailed: bool) -> Fate:
    leaves_list = row.is_ours and not row.is_claimed_on_list
    if row.was_created:
        left = _why_stays(row, is_mailed=is_mailed, is_elsewhere=row.is_elsewhere or (row.state and not leaves_list))
        return Fate(row.contact_id, goes=left is None, leaves_list=leaves_list, left=left)
    left = _why_stays(row, is_mailed=False, is_elsewhere=False) if row.was_changed else None
    restored = _earlier(row) if row.was_changed and left is None else None
    if row.was_ours and row.state and not leaves_list:
        left = left or (Left.IMPORTED if row.is_claimed_on_list else _why_listed(row))
    return Fate(row.contact_id, restored=restored, leaves_list=leaves_list, left=left)


def _why_stays(row: Any, *, is_mailed: bool, is_elsewhere: bool) -> Left | None:
    if not row.is_as_left:
        return Left.CHANGED
    if row.is_claimed:
        return Left.IMPORTED
    if is_mailed:
        return Left.MAILED
    return _why_listed(row) if is_elsewhere else None


def _why_listed(row: Any) -> Left:
    return Left.UNSUBSCRIBED if row.state == SubscriptionState.UNSUBSCRIBED else Left.LISTED


def _earlier(row: Any) -> tuple[str, dict[str, Any]]:
    earlier = {**row.attributes, **(row.attributes_before or {})}
    name = row.name if row.name_before is None else row.name_before
    return name, {key: value for key, value in earlier.items() if value is not None}


_PAGE = text("""
SELECT contact_id FROM import_contacts WHERE import_id = :import AND contact_id > :after
ORDER BY contact_id LIMIT :size
""")
_LOCK_SUBSCRIPTIONS = text("""
SELECT FROM subscriptions WHERE list_id = :list AND contact_id = ANY (:ids) ORDER BY contact_id FOR UPDATE
""")
_LOCK_CONTACTS = text("SELECT FROM contacts WHERE id = ANY (:ids) ORDER BY id FOR UPDATE")

# Aggregates, so that every look is a probe of an index: these tables are large, and the planner does not know how few
# rows of them are meant. `is_ours`: the last that happened to the subscription is what this import did.
_LOOK = text(f"""
SELECT met.contact_id, met.was_created, met.mark IS NOT NULL AND NOT met.was_created AS was_changed,
    met.name_before, met.attributes_before, contacts.name, contacts.attributes,
    met.mark IS NOT DISTINCT FROM {MARK} AS is_as_left,
    coalesce(claim.is_any, false) AS is_claimed, coalesce(claim.is_on_list, false) AS is_claimed_on_list,
    s.state, coalesce(told.was_ours, false) AS was_ours, coalesce(other.is_any, false) AS is_elsewhere,
    (s.state = 'confirmed' AND told.last_is_ours AND told.last_at = s.confirmed_at) IS TRUE AS is_ours
FROM import_contacts AS met JOIN contacts ON contacts.id = met.contact_id
LEFT JOIN subscriptions AS s ON s.list_id = CAST(:list AS bigint) AND s.contact_id = met.contact_id
LEFT JOIN LATERAL (
    SELECT bool_or(true) AS is_any, bool_or(i.list_id = CAST(:list AS bigint)) AS is_on_list
    FROM import_contacts AS o JOIN imports AS i ON i.id = o.import_id
    WHERE o.contact_id = met.contact_id AND o.import_id <> met.import_id AND o.met_at > met.met_at
) AS claim ON true
LEFT JOIN LATERAL (
    SELECT bool_or(ours) AS was_ours,
        (array_agg(ours ORDER BY id DESC))[1] AS last_is_ours, (array_agg(at ORDER BY id DESC))[1] AS last_at
    FROM (
        SELECT id, at, source = 'import' AND state = 'confirmed' AND detail = :detail AS ours
        FROM subscription_events AS e WHERE e.contact_id = met.contact_id AND e.list_id = CAST(:list AS bigint)
    ) AS e
) AS told ON true
LEFT JOIN LATERAL (
    SELECT bool_or(true) AS is_any FROM subscriptions AS x
    WHERE x.contact_id = met.contact_id AND x.list_id IS DISTINCT FROM CAST(:list AS bigint)
) AS other ON true
WHERE met.import_id = :import AND met.contact_id = ANY (:ids)
ORDER BY met.contact_id
""")  # noqa: S608 – a constant

_UNWELCOME = text("""
DELETE FROM welcomes USING contacts
WHERE contacts.id = ANY (:ids) AND welcomes.list_id = :list AND welcomes.address_hash = contacts.address_hash
    AND welcomes.mailing_id IS NULL
""")
_TAKE_BACK = text("""
WITH gone AS (
    DELETE FROM subscriptions WHERE list_id = :list AND contact_id = ANY (:ids) AND created_at = confirmed_at
    RETURNING contact_id
), pending AS (
    UPDATE subscriptions SET state = 'pending', confirmed_at = NULL
    WHERE list_id = :list AND contact_id = ANY (:ids) AND created_at <> confirmed_at
    RETURNING contact_id
)
INSERT INTO subscription_events (list_id, contact_id, at, state, source, detail)
SELECT :list, contact_id, :now, state, :source, :detail
FROM (SELECT contact_id, :gone AS state FROM gone UNION ALL SELECT contact_id, 'pending' FROM pending) AS changed
""")
_GO = text("DELETE FROM contacts WHERE id = ANY (:ids)")
_RESTORE = text("""
UPDATE contacts SET name = row.name, attributes = row.attributes, updated_at = :now
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (id bigint, name text, attributes jsonb)
WHERE contacts.id = row.id
""")
_FORGET = text("DELETE FROM import_contacts WHERE import_id = :import AND contact_id = ANY (:ids)")
