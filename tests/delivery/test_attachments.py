"""Mails with attachments on their way: on the wire, in the send log, in the proof, and in a process's memory."""

import email
import hashlib
from email.message import EmailMessage
from email.policy import default

from sqlalchemy import select
from sqlalchemy.orm import Session

from email_campaign.audience.contacts import Contact
from email_campaign.campaigns import launching
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.clock import utc_now
from email_campaign.content.attachments import File, keep
from email_campaign.db import SessionFactory
from email_campaign.delivery.attempts import Attempt
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.preview import recipient_of
from email_campaign.delivery.proof import Verdict, prove
from email_campaign.delivery.shelf import Shelf
from email_campaign.local.inbox.parts import parts_of
from email_campaign.local.inbox.reading import has_attachments
from email_campaign.local.inbox.reading import read as as_a_reader
from email_campaign.reports.mails import launched_mail, rebuild
from email_campaign.reports.progress import progress
from email_campaign.settings import Settings
from tests import factories
from tests.delivery.conftest import Engine
from tests.local.inbox.test_mail import make_mail
from tests.tools.scripted_smtp import Rule, Script

FILES = [
    File("Preise für Zoë.pdf", "application/pdf", bytes(range(256)) * 2_000),
    File("list.csv", "text/csv", b"a;b\r\n.\r\n..\r\nFrom me\n"),
]


def launch(factory: SessionFactory, files: list[File], people: int = 1) -> int:
    """A launched campaign that carries these files."""
    with factory.begin() as session:
        customers = factories.make_list(session)
        for _ in range(people):
            factories.make_subscription(session, factories.make_contact(session, name="Zoë"), customers)
        campaign = factories.make_campaign(session, template=factories.make_template(session), lists=[customers])
        campaign.attachment_ids = [keep(session, file).id for file in files]
    with factory.begin() as session:
        launching.launch(session, campaign.id, actor="test", now=utc_now())
    return campaign.id


def received(engine: Engine) -> list[EmailMessage]:
    return [email.message_from_bytes(body, policy=default) for _, body in engine.relay.bodies]


def test_every_copy_carries_the_files_and_the_proof_holds(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("dot", reply=b"451 4.3.0 later", first=1))
    mailing_id = launch(engine_room.factory, FILES, people=5)
    assert engine_room.run(mailing_id) == {DeliveryState.ACCEPTED: 5}
    for message in received(engine_room):
        parts = list(message.iter_attachments())
        assert [(part.get_filename(), part.get_content_type()) for part in parts] == [file[:2] for file in FILES]
        assert [part.get_payload(decode=True) for part in parts] == [file.data for file in FILES]
    kept = {bytes(a["message_sha256"]) for a in engine_room.attempts(mailing_id)}  # type: ignore[call-overload]
    assert {hashlib.sha256(body).digest() for _, body in engine_room.relay.bodies} <= kept
    assert prove(engine_room.factory, mailing_id, utc_now()).verdict is Verdict.HOLDS


def test_the_send_log_rebuilds_the_bytes_and_shows_the_mail_without_them(engine_room: Engine) -> None:
    mailing_id = launch(engine_room.factory, FILES)
    engine_room.run(mailing_id)
    with engine_room.factory() as session:
        attempt = session.get_one(Attempt, (mailing_id, 1, 1))
        contact = session.scalars(select(Contact)).one()
        rebuilt = rebuild(session, attempt, contact.address, engine_room.settings)
        campaign = session.get_one(Campaign, mailing_id)
        shown = launched_mail(session, campaign.mailing, recipient_of(contact), engine_room.settings, utc_now())
    assert rebuilt.is_same
    assert rebuilt.mail is not None
    for mail in (rebuilt.mail, shown):
        assert [(one.name, one.size) for one in mail.attachments] == [(file.name, len(file.data)) for file in FILES]
        assert "(512000 bytes as base64: not shown here)" in mail.source
        assert len(mail.source) < 5_000
        assert mail.text.startswith("Hello")


def test_the_inbox_shows_and_saves_the_files(engine_room: Engine) -> None:
    mailing_id = launch(engine_room.factory, FILES)
    engine_room.run(mailing_id)
    mail = make_mail(engine_room.relay.bodies[0][1])
    assert has_attachments(mail)
    readable = as_a_reader(mail)
    assert [(one.name, one.media_type, one.content) for one in readable.attachments] == [tuple(file) for file in FILES]
    assert (readable.text or "").startswith("Hello")
    assert [part.section for part in parts_of(mail)][-2:] == ["2", "3"]


def test_a_test_mail_carries_the_files_of_the_moment(session: Session) -> None:
    template = factories.make_template(session)
    campaign = factories.make_campaign(session, template=template)
    campaign.attachment_ids = [keep(session, FILES[0]).id]
    recipient = launching.Recipient("ada@example.org", {"name": "Ada"})
    first = launching.send_test(session, campaign, recipient, actor="Ada", now=utc_now())
    campaign.attachment_ids = []
    second = launching.send_test(session, campaign, recipient, actor="Ada", now=utc_now())
    assert first.content_version_id != second.content_version_id


# What a process keeps


def large(number: int, size: int = 3_000_000) -> File:
    return File(f"{number}.bin", "application/octet-stream", bytes([number]) * size)


ROOM_FOR_TWO = 9_000_000


def test_the_same_order_is_read_once_and_kept(session_factory: SessionFactory, settings: Settings) -> None:
    mailing_id = launch(session_factory, FILES)
    kept = Shelf(session_factory, settings)
    with kept.order(mailing_id) as first, kept.order(mailing_id) as second:
        assert first is second
    assert first is not None
    assert 0 <= first.attached_bytes - sum(len(file.data) for file in FILES) * 78 // 57 < 2_000
    with kept.order(mailing_id) as third:
        assert third is first


def test_attachments_beyond_the_room_wait_and_mail_without_any_does_not(
    session_factory: SessionFactory, settings: Settings
) -> None:
    first, second, third = (launch(session_factory, [large(number)]) for number in range(3))
    bare = launch(session_factory, [])
    kept = Shelf(session_factory, settings, room_bytes=ROOM_FOR_TWO)
    with kept.order(first) as one, kept.order(second) as two:
        assert one is not None
        assert two is not None
        with kept.order(third) as no_room, kept.order(bare) as without:
            assert no_room is None
            assert without is not None
    with kept.order(third) as now_there_is:
        assert now_there_is is not None
    with kept.order(second) as still:
        assert still is two  # the one that was unused for longest made room


def test_a_mailing_that_had_its_turn_gives_its_room_to_one_that_waits(
    session_factory: SessionFactory, settings: Settings
) -> None:
    first, second, third = (launch(session_factory, [large(number)]) for number in range(3))
    kept = Shelf(session_factory, settings, room_bytes=ROOM_FOR_TWO, turn_seconds=0)
    with kept.order(first), kept.order(second):
        with kept.order(first) as goes_on:
            assert goes_on is not None  # nobody waits
        with kept.order(third) as waits:
            assert waits is None
        with kept.order(first) as gives_way:
            assert gives_way is None
    with kept.order(third) as has_it:
        assert has_it is not None


def test_a_slice_without_room_goes_back_and_goes_out_later(engine_room: Engine) -> None:
    mailing_id = launch(engine_room.factory, FILES, people=2)
    engine_room.enrol(mailing_id)
    process, factory = engine_room.process, engine_room.factory
    roomy, process._shelf = process._shelf, Shelf(factory, engine_room.settings, room_bytes=1_000)
    engine_room.send(engine_room.dispatch())
    assert engine_room.states(mailing_id) == {DeliveryState.PENDING: 2}
    with factory() as session:
        mailing = session.get_one(Campaign, mailing_id).mailing
        assert "wait for those of other campaigns" in (progress(session, mailing, utc_now()).why_waiting or "")
    process._shelf = roomy
    assert engine_room.run(mailing_id) == {DeliveryState.ACCEPTED: 2}
