"""The welcome mail of a list: once a list and address for ever, through the ledger, whatever is lost on the way."""

import email
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.policy import default

import pytest
from sqlalchemy import func, select, text

from email_campaign.audience.contacts import Contact, erase_contact
from email_campaign.audience.lists import MailingList
from email_campaign.audience.subscriptions import Source, SubscriptionState, confirm, subscribe, unsubscribe
from email_campaign.audience.welcomes import waiting_lists
from email_campaign.campaigns import welcome_mail
from email_campaign.campaigns.mailings import Mailing, MailingKind, MailingState, halt
from email_campaign.clock import utc_now
from email_campaign.delivery.compose import read_unsubscribe_token
from email_campaign.delivery.deliveries import Delivery, DeliveryState
from email_campaign.delivery.orders import derive_keys
from email_campaign.delivery.proof import Verdict, prove
from email_campaign.delivery.welcoming import enrol_waiting
from email_campaign.errors import Conflict, Invalid
from tests import factories
from tests.delivery.conftest import Engine

CONFIRMED, PENDING = SubscriptionState.CONFIRMED, SubscriptionState.PENDING


@pytest.fixture
def club(engine_room: Engine) -> MailingList:
    """A list with a welcome mail."""
    with engine_room.factory.begin() as session:
        template = factories.make_template(session, subject="Welcome {{ name }}")
        made = factories.make_list(session, "Club")
        return welcome_mail.choose(session, made.id, template.id)


def _join(
    engine_room: Engine,
    club: MailingList,
    address: str = "",
    source: Source = Source.API,
    contact: Contact | None = None,
) -> Contact:
    with engine_room.factory.begin() as session:
        contact = contact or factories.make_contact(session, address, name="Zoë")
        subscribe(session, contact.id, club.id, CONFIRMED, source, "asked for it", utc_now())
        return contact


def _welcome(engine_room: Engine, club: MailingList) -> int | None:
    """What the task does, to the end; the standing mailing."""
    with engine_room.factory.begin() as session:
        enrol_waiting(session, club.id, engine_room.settings, utc_now())
    with engine_room.factory() as session:
        return session.get_one(MailingList, club.id).welcome_mailing_id


def _run(engine_room: Engine, club: MailingList) -> dict[DeliveryState, int]:
    mailing_id = _welcome(engine_room, club)
    return {} if mailing_id is None else engine_room.run(mailing_id)


def test_who_is_confirmed_gets_the_welcome_mail_with_the_link_of_the_list(
    engine_room: Engine, club: MailingList
) -> None:
    contact = _join(engine_room, club)
    assert _run(engine_room, club) == {DeliveryState.ACCEPTED: 1}
    ((recipient, body),) = engine_room.relay.bodies
    message = email.message_from_bytes(body, policy=default)
    assert recipient == contact.address
    assert message["Subject"] == "Welcome Zoë"
    assert message["From"] == f"Club <{engine_room.settings.mail_from}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "Precedence" not in message
    token = str(message["List-Unsubscribe"]).strip("<>").rpartition("/")[2]
    named = read_unsubscribe_token(derive_keys(engine_room.settings).unsubscribe, token)
    with engine_room.factory() as session:
        mailing = session.scalars(select(Mailing)).one()
        assert (mailing.kind, mailing.list_ids, mailing.state) == (
            MailingKind.TRANSACTIONAL,
            [club.id],
            MailingState.FINISHED,
        )
        assert named == (mailing.id, 1)
        assert session.get_one(Delivery, named).contact_id == contact.id


def test_those_who_come_later_are_appended_to_the_same_mailing(engine_room: Engine, club: MailingList) -> None:
    for count in (1, 2, 3):
        _join(engine_room, club)
        assert _run(engine_room, club) == {DeliveryState.ACCEPTED: count}
    with engine_room.factory() as session:
        mailing = session.scalars(select(Mailing)).one()
        assert (mailing.enrolled_count, mailing.next_position) == (3, 4)
        assert session.scalar(text("SELECT count(*) FROM stretches")) == 1  # lengthened each time
    assert len(engine_room.relay.bodies) == 3
    proof = prove(engine_room.factory, mailing.id, utc_now())
    assert proof.verdict is Verdict.HOLDS, proof


def test_nobody_is_welcomed_twice_whatever_they_do(engine_room: Engine, club: MailingList) -> None:
    contact = _join(engine_room, club, "zoe@example.org")
    _run(engine_room, club)
    for _ in range(2):
        with engine_room.factory.begin() as session:
            unsubscribe(session, contact.id, [club.id], Source.LINK, "", utc_now())
        _join(engine_room, club, source=Source.FORM, contact=contact)
    with engine_room.factory.begin() as session:
        erase_contact(session, contact.id)
    _join(engine_room, club, "zoe@example.org")  # a new contact, and the same person
    assert _run(engine_room, club) == {DeliveryState.ACCEPTED: 1}
    assert len(engine_room.relay.bodies) == 1


@pytest.mark.parametrize("source", list(Source))
def test_every_way_to_be_confirmed_welcomes_but_an_import(
    engine_room: Engine, club: MailingList, source: Source
) -> None:
    with engine_room.factory.begin() as session:
        contact = factories.make_contact(session)
        subscribe(session, contact.id, club.id, PENDING, source, "", utc_now())
        assert waiting_lists(session, utc_now()) == []  # asked, and not confirmed yet
        confirm(session, contact.id, club.id, source, "", utc_now())
        assert waiting_lists(session, utc_now()) == ([] if source is Source.IMPORT else [club.id])


def test_a_list_without_a_welcome_mail_welcomes_nobody_also_later(engine_room: Engine) -> None:
    with engine_room.factory.begin() as session:
        plain = factories.make_list(session)
    _join(engine_room, plain)
    with engine_room.factory.begin() as session:
        template = factories.make_template(session)
        welcome_mail.choose(session, plain.id, template.id)
        assert waiting_lists(session, utc_now()) == []


def test_a_lost_nudge_is_found_and_two_that_come_at_once_enrol_once(engine_room: Engine, club: MailingList) -> None:
    for _ in range(5):
        _join(engine_room, club)
    with engine_room.factory() as session:
        assert waiting_lists(session, utc_now() - timedelta(minutes=1)) == []
        assert waiting_lists(session, utc_now()) == [club.id]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _welcome(engine_room, club), range(4)))
    assert _run(engine_room, club) == {DeliveryState.ACCEPTED: 5}
    with engine_room.factory() as session:
        assert waiting_lists(session, utc_now()) == []
        assert session.scalar(select(func.count()).select_from(Mailing)) == 1


def _suppress(engine_room: Engine, club: MailingList, contact: Contact) -> None:
    with engine_room.factory.begin() as session:
        factories.make_suppression(session, contact.address)


def _leave(engine_room: Engine, club: MailingList, contact: Contact) -> None:
    with engine_room.factory.begin() as session:
        unsubscribe(session, contact.id, [club.id], Source.LINK, "", utc_now())


def _erase(engine_room: Engine, club: MailingList, contact: Contact) -> None:
    with engine_room.factory.begin() as session:
        erase_contact(session, contact.id)


@pytest.mark.parametrize("moment", ["before the enrolment", "after it"])
@pytest.mark.parametrize("change", [_suppress, _leave, _erase])
def test_whoever_may_not_be_mailed_any_more_is_skipped(
    engine_room: Engine,
    club: MailingList,
    change: Callable[[Engine, MailingList, Contact], None],
    moment: str,
) -> None:
    contact = _join(engine_room, club)
    if moment == "after it":
        _welcome(engine_room, club)
    change(engine_room, club, contact)
    assert _run(engine_room, club) == {DeliveryState.SKIPPED: 1}
    assert engine_room.relay.bodies == []


def test_new_words_a_new_name_and_a_month_begin_a_new_mailing(engine_room: Engine, club: MailingList) -> None:
    seen = []
    for change in (
        "UPDATE templates SET subject = 'Hello {{ name }}'",
        "UPDATE mailing_lists SET name = 'Society'",
        "UPDATE mailings SET launched_at = now() - interval '31 days'",
        "SELECT 1",
    ):
        _join(engine_room, club)
        assert DeliveryState.PENDING not in _run(engine_room, club)
        seen.append(_welcome(engine_room, club))
        with engine_room.factory.begin() as session:
            session.execute(text(change))
    assert len(set(seen)) == 4
    subjects = [email.message_from_bytes(body, policy=default)["Subject"] for _, body in engine_room.relay.bodies]
    assert subjects == ["Welcome Zoë", "Hello Zoë", "Hello Zoë", "Hello Zoë"]


def test_a_paused_welcome_mail_holds_everybody_until_it_goes_on(engine_room: Engine, club: MailingList) -> None:
    _join(engine_room, club)
    _run(engine_room, club)
    _join(engine_room, club)
    mailing_id = _welcome(engine_room, club)
    assert mailing_id is not None
    with engine_room.factory.begin() as session:
        assert halt(session, mailing_id, "The key is gone.")
    _join(engine_room, club)
    assert _welcome(engine_room, club) == mailing_id
    assert engine_room.dispatch() == []
    with engine_room.factory.begin() as session:
        welcome_mail.resume_welcome(session, club.id, actor="Ada")
    assert engine_room.run(mailing_id) == {DeliveryState.ACCEPTED: 3}


def test_turned_off_it_leaves_nobody_waiting(engine_room: Engine, club: MailingList) -> None:
    _join(engine_room, club)
    with engine_room.factory.begin() as session:
        welcome_mail.choose(session, club.id, None)
        assert waiting_lists(session, utc_now()) == []
    assert _run(engine_room, club) == {}


def test_a_template_that_welcomes_cannot_vanish(engine_room: Engine, club: MailingList) -> None:
    with engine_room.factory() as session:
        assert club.welcome_template_id is not None
        with pytest.raises(Conflict, match="welcome mail of the list “Club”"):
            welcome_mail.check_not_welcome(session, club.welcome_template_id)
        with pytest.raises(Invalid):
            welcome_mail.choose(session, club.id, 999)
