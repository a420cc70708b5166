"""System mail through the ledger: a link that stands nowhere, no headers of lists, sent again when nobody knows."""

import email
import re
from email.message import EmailMessage
from email.policy import default

import pytest
from sqlalchemy import text

from email_campaign.accounts import resets
from email_campaign.accounts.users import User
from email_campaign.campaigns import system_mail
from email_campaign.clock import utc_now
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.reports import queries
from email_campaign.reports.mails import Rebuilt, rebuild
from tests import factories
from tests.delivery.conftest import Engine
from tests.tools.scripted_smtp import Rule, Script


def _order(engine_room: Engine) -> tuple[int, User]:
    with engine_room.factory.begin() as session:
        user = factories.make_user(session, name="Ada")
        return system_mail.send_reset(session, user, engine_room.settings, utc_now()).id, user


def _mails(engine_room: Engine) -> list[EmailMessage]:
    return [email.message_from_bytes(body, policy=default) for _, body in engine_room.relay.bodies]


def _links(message: EmailMessage) -> set[str]:
    parts = [part.get_content() for part in message.walk() if part.get_content_maintype() == "text"]
    assert len(parts) == 2
    return {link for part in parts for link in re.findall(r"http://[^\s\"<]+/reset/[\w-]+", part)}


def _rebuilt(engine_room: Engine, mailing_id: int, address: str) -> Rebuilt:
    with engine_room.factory() as session:
        attempt, _ = queries.attempts_of(session, mailing_id, 1)[-1]
        return rebuild(session, attempt, address, engine_room.settings)


def test_a_reset_mail_has_one_working_link_and_nothing_of_a_list(engine_room: Engine) -> None:
    mailing_id, user = _order(engine_room)
    assert engine_room.run(mailing_id) == {DeliveryState.ACCEPTED: 1}
    (message,) = _mails(engine_room)
    assert message["To"] == f"Ada <{user.address}>"
    assert message["Subject"] == "Set a new password"
    assert message["Auto-Submitted"] == "auto-generated"
    assert not {"List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Precedence", "Feedback-ID"} & set(message)
    (link,) = _links(message)
    with engine_room.factory() as session:
        _, found = resets.read_link(session, engine_room.settings, link.rpartition("/")[2], utc_now())
    assert found.id == user.id


def test_the_secret_stands_in_no_row_and_the_page_that_shows_the_mail_hides_it(engine_room: Engine) -> None:
    mailing_id, user = _order(engine_room)
    engine_room.run(mailing_id)
    (link,) = _links(_mails(engine_room)[0])
    token = link.rpartition("/")[2]
    with engine_room.factory() as session:
        for table in ("mailings", "mailing_events", "content_versions", "deliveries", "attempts", "password_resets"):
            rows = session.scalars(text(f"SELECT CAST(t AS text) FROM {table} t")).all()
            assert rows
            assert not any(token in row for row in rows), table
    rebuilt = _rebuilt(engine_room, mailing_id, user.address)
    assert (rebuilt.is_same, rebuilt.hides_link) == (True, True)
    assert rebuilt.mail is not None
    assert rebuilt.mail.html
    assert token not in rebuilt.mail.source + rebuilt.mail.text + rebuilt.mail.html
    assert "Set a new password" in rebuilt.mail.text + rebuilt.mail.subject


def test_a_reset_mail_is_the_same_to_the_byte_after_the_password_was_changed(engine_room: Engine) -> None:
    mailing_id, user = _order(engine_room)
    engine_room.run(mailing_id)
    token = next(iter(_links(_mails(engine_room)[0]))).rpartition("/")[2]
    with engine_room.factory.begin() as session:
        resets.set_password(session, engine_room.settings, token, "another long password", utc_now())
    assert _rebuilt(engine_room, mailing_id, user.address).is_same


def test_an_unknown_reset_mail_is_sent_again_with_the_same_message_id_and_link(
    engine_room: Engine, script: Script
) -> None:
    script.rules.append(Rule("dot", drop=True, first=1))
    mailing_id, _ = _order(engine_room)
    engine_room.enrol(mailing_id)
    engine_room.send(engine_room.dispatch())
    assert engine_room.states(mailing_id) == {DeliveryState.UNKNOWN: 1}
    engine_room.sweep()  # makes it due
    assert engine_room.run(mailing_id) == {DeliveryState.ACCEPTED: 1}
    first, second = _mails(engine_room)
    assert first["Message-ID"] == second["Message-ID"]
    assert _links(first) == _links(second)


def test_a_suppressed_user_still_gets_a_reset_mail(engine_room: Engine) -> None:
    mailing_id, user = _order(engine_room)
    with engine_room.factory.begin() as session:
        factories.make_suppression(session, user.address)
    assert engine_room.run(mailing_id) == {DeliveryState.ACCEPTED: 1}


def test_a_reset_mail_that_nobody_takes_is_given_up_when_its_link_is_dead(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("rcpt", reply=b"451 4.7.1 greylisted"))
    mailing_id, _ = _order(engine_room)
    with engine_room.factory.begin() as session:
        session.execute(text("UPDATE mailings SET deadline_at = now() + interval '0.5 seconds'"))
    assert engine_room.run(mailing_id) == {DeliveryState.REJECTED: 1}
    assert engine_room.attempts(mailing_id)[-1]["reply"]


@pytest.mark.parametrize("letter", [system_mail.RESET, system_mail.CHANGED])
def test_every_own_letter_says_the_same_in_text_and_html(engine_room: Engine, letter: str) -> None:
    with engine_room.factory.begin() as session:
        user = factories.make_user(session, name="Zoë <b>")
        send = system_mail.send_reset if letter == system_mail.RESET else system_mail.send_changed
        mailing_id = send(session, user, engine_room.settings, utc_now()).id
    engine_room.run(mailing_id)
    (message,) = _mails(engine_room)
    plain, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert html is not None
    assert "Hello Zoë <b>" in plain.get_content()
    assert "Zoë &lt;b&gt;" in html.get_content()
    for part in (plain.get_content(), html.get_content()):
        assert user.address in part
        assert "{{" not in part
