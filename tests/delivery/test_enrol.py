"""Enrolment on tables of which Postgres knows nothing yet."""

import re

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.clock import utc_now
from email_campaign.delivery import enrol


def test_a_list_that_was_filled_a_moment_ago_is_read_once_a_page_and_not_for_every_row(session: Session) -> None:
    session.execute(
        text("""
INSERT INTO contacts (address, address_hash, name, attributes)
SELECT 'p' || g || '@d.example', sha256(g::text::bytea), '', '{}' FROM generate_series(1, 3000) g
""")
    )
    session.execute(text("INSERT INTO mailing_lists (id, name) VALUES (77, 'New')"))
    session.execute(
        text(
            "INSERT INTO subscriptions (contact_id, list_id, state, confirmed_at) "
            "SELECT id, 77, 'confirmed', now() FROM contacts"
        )
    )
    values = {"mailing": 1, "lists": [77], "launched": utc_now(), "cursor": 0, "limit": 100, "next": 1}
    session.execute(enrol._IN_ORDER)
    plan = "\n".join(session.scalars(text(f"EXPLAIN (ANALYZE) {enrol._ENROL.text}"), {**values, "state": "pending"}))
    assert not re.search(r"ix_subscriptions_list_state.* loops=(?!1\))", plan), plan
