"""Enrolment: how large its pages are, and on tables of which Postgres knows nothing yet."""

import re

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.campaigns import launching
from email_campaign.clock import utc_now
from email_campaign.delivery import enrol
from email_campaign.settings import Settings
from tests import factories


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


def test_pages_grow_with_what_is_enrolled_so_that_no_sender_waits_for_a_long_one(
    session: Session, settings: Settings
) -> None:
    members = factories.make_list(session)
    for number in range(20):
        factories.make_subscription(session, factories.make_contact(session, f"p{number}@example.org"), members)
    campaign = factories.make_campaign(session, template=factories.make_template(session), lists=[members])
    launching.launch(session, campaign.id, actor="test", now=utc_now())
    small = settings.model_copy(update={"enrol_first_page": 2, "enrol_page": 7})
    enrolled = [0]
    while enrol.enrol_page(session, campaign.id, small, utc_now()):
        enrolled.append(campaign.mailing.enrolled_count)
    assert enrolled == [0, 2, 4, 8, 15]
    assert campaign.mailing.enrolled_count == 20


def test_an_address_that_is_enrolled_already_is_not_enrolled_again_under_another_contact(
    session: Session, settings: Settings
) -> None:
    members = factories.make_list(session)
    contacts = [factories.make_contact(session, f"p{number}@example.org") for number in range(4)]
    for contact in contacts:
        factories.make_subscription(session, contact, members)
    campaign = factories.make_campaign(session, template=factories.make_template(session), lists=[members])
    launching.launch(session, campaign.id, actor="test", now=utc_now())
    factories.make_delivery(session, campaign.mailing, contacts[2]).contact_id = None
    session.flush()
    enrol.enrol_page(session, campaign.id, settings, utc_now())
    rows = session.execute(text("SELECT contact_id FROM deliveries WHERE mailing_id = :id"), {"id": campaign.id})
    assert {row.contact_id for row in rows} == {None, contacts[0].id, contacts[1].id, contacts[3].id}
    assert campaign.mailing.enrolled_count == 4
