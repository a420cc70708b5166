"""A batch of an import's people becomes contacts and subscriptions, in a handful of statements whatever its size."""

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.address import address_hash
from email_campaign.audience.import_rows import Person, merge
from email_campaign.audience.imports import Import
from email_campaign.audience.subscriptions import Source
from email_campaign.settings import Settings
from email_campaign.signing import derive_key


class Outcome(enum.Enum):
    """What an import did to a contact."""

    CREATED = enum.auto()
    CHANGED = enum.auto()
    UNCHANGED = enum.auto()


@dataclass(frozen=True, slots=True)
class Standing:
    """How many of the people are imported and will not be mailed all the same."""

    suppressed: int
    unsubscribed: int


# Rows are written in the order of the address, and changed in the order of the id, so that two imports that run at
# once wait for each other and never in a ring.
_INSERT = text("""
    INSERT INTO contacts (address, address_hash, name, attributes, created_at, updated_at)
    SELECT address, decode(address_hash, 'hex'), name, attributes, :now, :now
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (address text, address_hash text, name text, attributes jsonb)
    ORDER BY address
    ON CONFLICT (address) DO NOTHING
    RETURNING id, address
""")
_FIND = text("SELECT id, address, name, attributes FROM contacts WHERE address = ANY (:addresses)")
_LOCK = text("SELECT id, address, name, attributes FROM contacts WHERE id = ANY (:ids) ORDER BY id FOR UPDATE")
_CHANGE = text("""
    UPDATE contacts SET name = row.name, attributes = row.attributes, updated_at = :now
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (id bigint, name text, attributes jsonb)
    WHERE contacts.id = row.id
""")
# Who unsubscribed stays so: only a new row and a pending one become confirmed.
_SUBSCRIBE = text("""
    WITH entered AS (
        INSERT INTO subscriptions (list_id, contact_id, state, created_at, confirmed_at)
        SELECT :list_id, contact_id, 'confirmed', :now, :now
        FROM unnest(:ids ::bigint[]) AS wanted (contact_id)
        WHERE NOT EXISTS (
            SELECT FROM subscriptions AS present
            WHERE present.list_id = :list_id AND present.contact_id = wanted.contact_id
        )
        ORDER BY contact_id
        ON CONFLICT DO NOTHING
        RETURNING contact_id
    ), confirmed AS (
        UPDATE subscriptions SET state = 'confirmed', confirmed_at = :now
        WHERE list_id = :list_id AND contact_id = ANY (:ids) AND state = 'pending'
        RETURNING contact_id
    )
    INSERT INTO subscription_events (list_id, contact_id, at, state, source, detail)
    SELECT :list_id, contact_id, :now, 'confirmed', :source, :detail
    FROM (TABLE entered UNION ALL TABLE confirmed) AS changed
""")
_STANDING = text("""
    SELECT (SELECT count(*) FROM contacts JOIN suppressions USING (address_hash) WHERE contacts.id = ANY (:ids)),
           (SELECT count(*) FROM subscriptions
            WHERE list_id = :list_id AND contact_id = ANY (:ids) AND state = 'unsubscribed')
""")


def save_people(
    session: Session, people: Mapping[str, Person], settings: Settings, now: datetime
) -> dict[int, Outcome]:
    """Create or change the contacts of these addresses; what became of each, by contact id. Safe to repeat."""
    key = derive_key(settings.secret_key.get_secret_value(), "address")
    outcomes: dict[int, Outcome] = {}
    left = dict(people)
    while left:
        # A second round is needed only for those whom somebody else created between our look and our insert.
        present = session.execute(_FIND, {"addresses": list(left)}).all()
        outcomes |= _change(session, present, left, now)
        for row in present:
            del left[row.address]
        created = _insert(session, list(left.values()), key, now)
        outcomes |= dict.fromkeys(created.values(), Outcome.CREATED)
        for address in created:
            del left[address]
    return outcomes


def subscribe_people(
    session: Session, running: Import, contact_ids: Sequence[int], met: Sequence[int], now: datetime
) -> Standing:
    """Put the contacts on the import's list, if it has one; how those met for the first time stand."""
    if running.list_id is not None:
        session.execute(
            _SUBSCRIBE,
            {
                "list_id": running.list_id,
                "ids": list(contact_ids),
                "now": now,
                "source": Source.IMPORT,
                "detail": f"import {running.id}",
            },
        )
    suppressed, unsubscribed = session.execute(_STANDING, {"ids": list(met), "list_id": running.list_id}).one()
    return Standing(suppressed, unsubscribed)


def _insert(session: Session, people: Sequence[Person], key: bytes, now: datetime) -> dict[str, int]:
    if not people:
        return {}
    rows = [
        {
            "address": person.address,
            "address_hash": address_hash(key, person.address).hex(),
            "name": person.name,
            "attributes": person.attributes,
        }
        for person in people
    ]
    return {row.address: row.id for row in session.execute(_INSERT, {"rows": _json(rows), "now": now})}


def _change(
    session: Session, present: Sequence[Any], people: Mapping[str, Person], now: datetime
) -> dict[int, Outcome]:
    """Change those of whom the file says something new; they are read again under a lock, as others write too."""
    outcomes = dict.fromkeys((row.id for row in present), Outcome.UNCHANGED)
    differing = [row.id for row in present if _merged(row, people[row.address]) != (row.name, row.attributes)]
    if not differing:
        return outcomes
    locked = session.execute(_LOCK, {"ids": differing}).all()
    rows = []
    for row in locked:
        name, attributes = _merged(row, people[row.address])
        rows.append({"id": row.id, "name": name, "attributes": attributes})
    session.execute(_CHANGE, {"rows": _json(rows), "now": now})
    return outcomes | dict.fromkeys((row.id for row in locked), Outcome.CHANGED)


def _merged(row: Any, person: Person) -> tuple[str, dict[str, Any]]:
    return person.name or row.name, merge(row.attributes, person.attributes)


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    """One parameter for the whole batch: arrays of texts are escaped one by one, at thrice the cost."""
    return json.dumps(rows, ensure_ascii=False)
