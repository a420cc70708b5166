"""A batch of an import's people becomes contacts and subscriptions, in a handful of statements whatever its size."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.address import address_hash
from email_campaign.audience.import_contacts import MARK, Trace, event_detail
from email_campaign.audience.import_rows import Person, merge
from email_campaign.audience.imports import Import
from email_campaign.audience.subscriptions import Source
from email_campaign.settings import Settings
from email_campaign.signing import derive_key


@dataclass(frozen=True, slots=True)
class Standing:
    """How many of the people are imported and will not be mailed all the same."""

    suppressed: int
    unsubscribed: int


# Rows are written in the order of the address, and changed in the order of the id, so that two imports that run at
# once wait for each other and never in a ring.
_INSERT = text(f"""
    INSERT INTO contacts (address, address_hash, name, attributes, created_at, updated_at)
    SELECT address, decode(address_hash, 'hex'), name, attributes, :now, :now
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (address text, address_hash text, name text, attributes jsonb)
    ORDER BY address
    ON CONFLICT (address) DO NOTHING
    RETURNING id, address, {MARK} AS mark
""")  # noqa: S608 – a constant
_FIND = text("SELECT id, address, name, attributes FROM contacts WHERE address = ANY (:addresses)")
_LOCK = text("SELECT id, address, name, attributes FROM contacts WHERE id = ANY (:ids) ORDER BY id FOR UPDATE")
_CHANGE = text(f"""
    UPDATE contacts SET name = row.name, attributes = row.attributes, updated_at = :now
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (id bigint, name text, attributes jsonb)
    WHERE contacts.id = row.id
    RETURNING contacts.id, {MARK} AS mark
""")  # noqa: S608 – a constant
# Who unsubscribed stays so: only a new row and a pending one become confirmed.
_CONFIRM = """
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
    ), changed AS (
        TABLE entered UNION ALL TABLE confirmed
    )
"""
_TELL = """
    INSERT INTO subscription_events (list_id, contact_id, at, state, source, detail)
    SELECT :list_id, contact_id, :now, 'confirmed', :source, :detail FROM changed
"""
_WELCOME = """
    , welcomed AS (
        INSERT INTO welcomes (list_id, address_hash, contact_id, confirmed_at)
        SELECT l.id, c.address_hash, c.id, :now
        FROM changed JOIN contacts c ON c.id = changed.contact_id JOIN mailing_lists l ON l.id = :list_id
        WHERE l.welcome_template_id IS NOT NULL
        ORDER BY c.address_hash
        ON CONFLICT (list_id, address_hash) DO NOTHING
    )
"""
_SUBSCRIBE = text(_CONFIRM + _TELL)
_SUBSCRIBE_AND_WELCOME = text(_CONFIRM + _WELCOME + _TELL)
_STANDING = text("""
    SELECT (SELECT count(*) FROM contacts JOIN suppressions USING (address_hash) WHERE contacts.id = ANY (:ids)),
           (SELECT count(*) FROM subscriptions
            WHERE list_id = :list_id AND contact_id = ANY (:ids) AND state = 'unsubscribed')
""")


def save_people(session: Session, people: Mapping[str, Person], settings: Settings, now: datetime) -> dict[int, Trace]:
    """Create or change the contacts of these addresses; what was done to each, by contact id. Safe to repeat."""
    key = derive_key(settings.secret_key.get_secret_value(), "address")
    traces: dict[int, Trace] = {}
    left = dict(people)
    while left:
        # A second round is needed only for those whom somebody else created between our look and our insert.
        present = session.execute(_FIND, {"addresses": list(left)}).all()
        traces |= _change(session, present, left, now)
        for row in present:
            del left[row.address]
        for row in _insert(session, list(left.values()), key, now):
            traces[row.id] = Trace(row.mark, was_created=True)
            del left[row.address]
    return traces


def subscribe_people(
    session: Session, running: Import, contact_ids: Sequence[int], met: Sequence[int], now: datetime
) -> Standing:
    """Put the contacts on the import's list, if it has one; how those met for the first time stand."""
    if running.list_id is not None:
        session.execute(
            _SUBSCRIBE_AND_WELCOME if running.sends_welcome else _SUBSCRIBE,
            {
                "list_id": running.list_id,
                "ids": list(contact_ids),
                "now": now,
                "source": Source.IMPORT,
                "detail": event_detail(running.id),
            },
        )
    suppressed, unsubscribed = session.execute(_STANDING, {"ids": list(met), "list_id": running.list_id}).one()
    return Standing(suppressed, unsubscribed)


def _insert(session: Session, people: Sequence[Person], key: bytes, now: datetime) -> Sequence[Any]:
    if not people:
        return []
    rows = [
        {
            "address": person.address,
            "address_hash": address_hash(key, person.address).hex(),
            "name": person.name,
            "attributes": person.attributes,
        }
        for person in people
    ]
    return session.execute(_INSERT, {"rows": _json(rows), "now": now}).all()


def _change(session: Session, present: Sequence[Any], people: Mapping[str, Person], now: datetime) -> dict[int, Trace]:
    """Change those of whom the file says something new; they are read again under a lock, as others write too."""
    traces = dict.fromkeys((row.id for row in present), Trace())
    differing = [row.id for row in present if _merged(row, people[row.address]) != (row.name, row.attributes)]
    if not differing:
        return traces
    before = {row.id: row for row in session.execute(_LOCK, {"ids": differing})}
    after = {row.id: _merged(row, people[row.address]) for row in before.values()}
    rows = [{"id": one, "name": name, "attributes": attributes} for one, (name, attributes) in after.items()]
    for one, mark in session.execute(_CHANGE, {"rows": _json(rows), "now": now}):
        name, attributes = after[one]
        traces[one] = Trace(
            mark,
            name_before=None if name == before[one].name else before[one].name,
            attributes_before=_replaced(before[one].attributes, attributes),
        )
    return traces


def _merged(row: Any, person: Person) -> tuple[str, dict[str, Any]]:
    return person.name or row.name, merge(row.attributes, person.attributes)


def _replaced(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The earlier values of those attributes that differ; null for one that was not there."""
    return {name: before.get(name) for name, value in after.items() if name not in before or before[name] != value}


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    """One parameter for the whole batch: arrays of texts are escaped one by one, at thrice the cost."""
    return json.dumps(rows, ensure_ascii=False)
