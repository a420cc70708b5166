"""Tables as they are after years: millions of contacts, and a ledger of millions of copies, filled by SQL alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import Mailing, MailingKind, MailingState, UnknownPolicy
from email_campaign.clock import utc_now
from email_campaign.content.versions import freeze
from email_campaign.db import SessionFactory
from email_campaign.delivery.relays import Relay

SUBJECT = "News for {{ name }}"
HTML = '<p>Hello {{ name }} in {{ city }}!</p>\n<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>'
PAGE = 50_000
"""Rows a page of enrolment: contacts stand in their page in another order than positions."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """A mailing with many copies. Positions up to `done` came to an end; the others are pending, in no slice yet."""

    mailing_id: int
    size: int
    done: int


def fill_contacts(engine: Engine, first: int, last: int) -> None:
    """Contacts with these ids."""
    with engine.begin() as connection, _without_indexes(connection, "contacts"):
        connection.execute(_CONTACTS, {"first": first, "last": last})
        connection.execute(text("SELECT setval(pg_get_serial_sequence('contacts', 'id'), :last)"), {"last": last})
    _settle(engine, "contacts")


def fill_list(engine: Engine, name: str, first: int, last: int) -> int:
    """A list of which these contacts are confirmed members since yesterday; its id."""
    with engine.begin() as connection:
        list_id = connection.scalar(text("INSERT INTO mailing_lists (name) VALUES (:n) RETURNING id"), {"n": name})
        connection.execute(_SUBSCRIPTIONS, {"list": list_id, "first": first, "last": last})
    _settle(engine, "subscriptions")
    return int(list_id or 0)


def fill_ledger(engine: Engine, factory: SessionFactory, size: int, *, is_known: bool = True) -> Ledger:
    """A mailing to the contacts 1 to `size` of which half went out: 95 % accepted, the rest in trouble of all kinds.

    `is_known`: Postgres has statistics of its copies, which is not so while a mailing is young.
    """
    with factory.begin() as session:
        mailing = add_mailing(session, MailingState.SENDING)
        mailing.enrolled_at = mailing.launched_at
        mailing.enrolled_count, mailing.next_position = size, size + 1
        session.execute(
            text("INSERT INTO campaigns (id, name) VALUES (:id, :name)"),
            {"id": mailing.id, "name": f"{size:,} copies"},
        )
    ledger = Ledger(mailing.id, size, size // 2 // PAGE * PAGE)
    values = {"mailing": ledger.mailing_id, "size": size, "done": ledger.done, "page": PAGE}
    with engine.begin() as connection:
        with _without_indexes(connection, "deliveries"):
            connection.execute(_DELIVERIES, values)
        connection.execute(_STRETCHES, values)
        connection.execute(_CLOSED_SLICES, values)
        connection.execute(_COUNTERS, values)
    _settle(engine, *(["deliveries"] if is_known else []), "slices", "stretches")
    return ledger


def add_mailing(session: Session, state: MailingState) -> Mailing:
    """A mailing that was launched now; nobody is enrolled."""
    now = utc_now()
    mailing = Mailing(
        kind=MailingKind.CAMPAIGN,
        state=state,
        relay_id=session.scalars(select(Relay.id).limit(1)).one(),
        content_version_id=freeze(session, SUBJECT, HTML, "").id,
        from_address="news@example.com",
        unknown_policy=UnknownPolicy.HOLD,
        launched_at=now,
        rate_at=now,
    )
    session.add(mailing)
    session.flush()
    return mailing


@contextmanager
def _without_indexes(connection: Connection, table: str) -> Iterator[None]:
    """Take the secondary indexes away and build them at the end: minutes instead of an hour."""
    found = connection.execute(_INDEXES, {"table": table}).all()
    for index in found:
        is_constraint = index.constraint_definition is not None
        connection.execute(
            text(f"ALTER TABLE {table} DROP CONSTRAINT {index.name}" if is_constraint else f"DROP INDEX {index.name}")
        )
    yield
    connection.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
    for index in found:
        connection.execute(
            text(
                f"ALTER TABLE {table} ADD CONSTRAINT {index.name} {index.constraint_definition}"
                if index.constraint_definition
                else index.definition
            )
        )


def _settle(engine: Engine, *tables: str) -> None:
    """What autovacuum would have done in the meantime."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in tables:
            connection.execute(text(f"VACUUM ANALYZE {table}"))


# The trigrams of the search are the one index that takes longer than all rows; nothing here searches.
_INDEXES = text("""
SELECT c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition,
    (SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype <> 'f')
        AS constraint_definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = CAST(CAST(:table AS text) AS regclass) AND NOT (i.indisprimary AND CAST(:table AS text) = 'contacts')
""")

_CONTACTS = text("""
INSERT INTO contacts (id, address, address_hash, name, attributes) OVERRIDING SYSTEM VALUE
SELECT n, 'p' || n || '@d' || n % 997 || '.example', sha256(CAST('contact ' || n AS bytea)), 'Person ' || n,
    '{"city": "Bonn", "code": "12345678"}'
FROM generate_series(CAST(:first AS bigint), :last) AS n
""")

_SUBSCRIPTIONS = text("""
INSERT INTO subscriptions (list_id, contact_id, state, confirmed_at)
SELECT :list, n, 'confirmed', now() - interval '1 day' FROM generate_series(CAST(:first AS bigint), :last) AS n
""")

_DELIVERIES = text("""
INSERT INTO deliveries (mailing_id, position, contact_id, address_hash, state, reason, first_attempt_at, changed_at,
    attempt_count, next_attempt_at)
SELECT :mailing, position, contact, sha256(CAST('contact ' || contact AS bytea)), state,
    CASE state WHEN 'rejected' THEN 'hard_bounce' WHEN 'skipped' THEN 'suppressed' WHEN 'deferred' THEN 'greylisted'
        WHEN 'unknown' THEN 'dropped' END,
    CASE WHEN state NOT IN ('pending', 'skipped') THEN now() END, now(),
    CASE WHEN state IN ('pending', 'skipped') THEN 0 ELSE 1 END,
    CASE state WHEN 'deferred' THEN now() + interval '1 hour' + position * interval '1 millisecond' END
FROM (
    SELECT position, (position - 1) / :page * :page + position * 7919 % :page + 1 AS contact,
        CASE WHEN position > :done THEN 'pending' WHEN position % 100 < 95 THEN 'accepted'
            WHEN position % 100 < 97 THEN 'rejected' WHEN position % 100 < 98 THEN 'skipped'
            WHEN position % 1000 = 999 THEN 'unknown' ELSE 'deferred' END AS state
    FROM generate_series(CAST(1 AS bigint), :size) AS position
) numbered
""")

_STRETCHES = text("""
INSERT INTO stretches (mailing_id, first_position, last_position, frontier, lane)
SELECT :mailing, first, least(first + :page - 1, :size),
    CASE WHEN first <= :done THEN first + :page ELSE first END, 0
FROM generate_series(CAST(1 AS bigint), :size, :page) AS first
""")

_CLOSED_SLICES = text("""
INSERT INTO slices (mailing_id, first_position, last_position, row_count, lane, published_at, token, closed_at)
SELECT :mailing, first, first + 999, 1000, 0, now(), first, now()
FROM generate_series(CAST(1 AS bigint), :done, 1000) AS first
""")

_COUNTERS = text("""
INSERT INTO counters (mailing_id, worker_id, state, count)
SELECT :mailing, 0, state, count(*) FROM deliveries WHERE mailing_id = :mailing GROUP BY state
""")
