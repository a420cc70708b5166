"""What becomes of each copy, against a real Postgres and a relay that does as it is told."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import cast

import dkim
from sqlalchemy import text

from email_campaign.audience.lists import MailingList
from email_campaign.campaigns import campaigns
from email_campaign.content.dkim import make_key
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.orders import read_order
from tests.delivery.conftest import Engine
from tests.tools.scripted_smtp import Rule, Script

ACCEPTED, REJECTED, UNKNOWN = DeliveryState.ACCEPTED, DeliveryState.REJECTED, DeliveryState.UNKNOWN
SKIPPED = DeliveryState.SKIPPED


def test_every_confirmed_member_gets_one_mail_and_one_attempt(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(20)
    assert engine_room.run(mailing_id) == {ACCEPTED: 20}
    attempts = engine_room.attempts(mailing_id)
    assert [(a["verdict"], a["code"], a["phase"], a["late"]) for a in attempts] == [
        ("accepted", 250, "body", False)
    ] * 20
    assert {len(events) for events in engine_room.relay.log.bodies_by_recipient().values()} == {1}


def test_what_the_attempt_keeps_is_the_hash_of_the_bytes_on_the_wire(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(3)
    engine_room.run(mailing_id)
    kept = {bytes(a["message_sha256"]).hex() for a in engine_room.attempts(mailing_id)}  # type: ignore[call-overload]
    assert kept == {event.sha256 for event in engine_room.relay.log.bodies()}


def test_a_451_is_tried_again_and_then_accepted(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("rcpt", reply=b"451 4.7.1 greylisted", first=1))
    mailing_id = engine_room.launch(4)
    assert engine_room.run(mailing_id) == {ACCEPTED: 4}
    attempts = engine_room.attempts(mailing_id)
    assert [(a["number"], a["verdict"]) for a in attempts] == [(1, "deferred"), (2, "accepted")] * 4
    first, second = attempts[:2]
    waited = (second["started_at"] - first["finished_at"]).total_seconds()  # type: ignore[operator]
    assert waited >= engine_room.settings.retry_delays_seconds[0]


def test_a_hard_bounce_is_rejected_and_suppressed_and_skipped_by_the_next_campaign(
    engine_room: Engine, script: Script
) -> None:
    mailing_id = engine_room.launch(3)
    with engine_room.factory() as session:
        contact = session.execute(text("SELECT id, address FROM contacts ORDER BY id")).first()
    assert contact
    script.rules.append(Rule("rcpt", to=contact.address.split("@")[0], reply=b"550 5.1.1 no such user"))
    assert engine_room.run(mailing_id) == {ACCEPTED: 2, REJECTED: 1}
    with engine_room.factory() as session:
        suppressed = session.execute(text("SELECT address, reason, mailing_id FROM suppressions")).all()
    assert suppressed == [(contact.address, "hard_bounce", mailing_id)]
    with engine_room.factory() as session:
        the_list = session.get_one(MailingList, engine_room.campaign(mailing_id).mailing.list_ids[0])
    again = engine_room.launch(0, lists=[the_list])
    assert engine_room.run(again) == {ACCEPTED: 2, SKIPPED: 1}


def test_a_drop_after_the_dot_is_unknown_and_is_not_sent_again(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("dot", drop=True, first=1))
    mailing_id = engine_room.launch(1)
    assert engine_room.run(mailing_id) == {UNKNOWN: 1}
    assert len(engine_room.relay.log.bodies()) == 1
    assert [a["verdict"] for a in engine_room.attempts(mailing_id)] == ["unknown"]


def test_a_message_that_cannot_be_rendered_for_one_contact_stops_nobody_else(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(10, html="<p>{{ city }}</p>", attributes={"city": "Bonn"})
    with engine_room.factory.begin() as session:
        session.execute(text("UPDATE contacts SET attributes = '{}' WHERE id = (SELECT min(id) FROM contacts)"))
    assert engine_room.run(mailing_id) == {ACCEPTED: 9, REJECTED: 1}
    rejected = [a for a in engine_room.attempts(mailing_id) if a["verdict"] == "rejected"]
    assert rejected[0]["phase"] == "render"
    assert "city" in str(rejected[0]["reply"])


def test_a_mail_is_composed_again_to_the_same_bytes_after_a_move_and_a_renamed_list(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(1)
    engine_room.run(mailing_id)
    (attempt,) = engine_room.attempts(mailing_id)
    with engine_room.factory.begin() as session:
        session.execute(text("UPDATE mailing_lists SET name = 'Another name'"))
    moved = engine_room.settings.model_copy(update={"public_url": "https://elsewhere.example"})
    with engine_room.factory() as session:
        order = read_order(session, mailing_id, moved)
        address = session.scalar(text("SELECT address FROM contacts"))
    recipient = {**cast("dict[str, str]", attempt["variables"]), "address": address}
    again = order.press.compose(1, recipient, cast("datetime", attempt["started_at"]))
    assert hashlib.sha256(again.data).digest() == attempt["message_sha256"]


def test_mail_of_a_domain_with_a_key_is_signed_on_the_wire(make_engine: Callable[..., Engine], tmp_path: Path) -> None:
    signer = make_key(tmp_path / "dkim", "example.com", "mail")
    engine = make_engine(dkim_dir=tmp_path / "dkim")
    mailing_id = engine.launch(2)
    assert engine.run(mailing_id) == {ACCEPTED: 2}
    for _, body in engine.relay.bodies:
        assert dkim.verify(body, dnsfunc=lambda *_, **__: signer.record.encode())
    hashes = {hashlib.sha256(body).digest() for _, body in engine.relay.bodies}
    assert {bytes(cast("bytes", a["message_sha256"])) for a in engine.attempts(mailing_id)} == hashes


def test_a_campaign_whose_mail_cannot_be_written_any_more_is_paused_and_says_why(
    make_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    engine = make_engine(dkim_dir=tmp_path)
    mailing_id = engine.launch(3)
    key = tmp_path / "mail._domainkey.example.com.pem"
    key.write_text("spilt coffee")
    engine.enrol(mailing_id)
    engine.send(engine.dispatch())
    assert engine.campaign(mailing_id).mailing.state == "paused"
    assert engine.states(mailing_id) == {DeliveryState.PENDING: 3}
    with engine.factory.begin() as session:
        why = session.scalar(text("SELECT detail FROM mailing_events WHERE kind = 'paused'"))
        assert str(key) in str(why)
        key.unlink()
        campaigns.resume(session, mailing_id, actor="test")
    assert engine.run(mailing_id) == {ACCEPTED: 3}
