"""A new password by mail: asking, the link, the form behind it, and what nobody may learn."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.accounts import resets
from email_campaign.accounts.resets import PasswordReset
from email_campaign.accounts.sessions import SignInSession, open_session
from email_campaign.accounts.users import User, disable
from email_campaign.audience.contacts import Contact
from email_campaign.campaigns.mailings import Mailing, MailingKind, UnknownPolicy
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.settings import Settings

OLD, NEW = "correct horse battery", "another long password"
Nudges = list[tuple[object, ...]]


def _csrf(client: TestClient, path: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).text)
    assert found
    return found[1]


def _ask(client: TestClient, address: str = "Ada@Example.com") -> Any:
    return client.post("/forgot", data={"csrf_token": _csrf(client, "/forgot"), "address": address})


def _set(client: TestClient, path: str, new: str = NEW, again: str | None = None) -> Any:
    token = _csrf(client, "/forgot")
    fields = {"csrf_token": token, "new_password": new, "new_password_again": new if again is None else again}
    return client.post(path, data=fields)


def _sign_in(client: TestClient, password: str) -> int:
    fields = {"csrf_token": _csrf(client, "/sign-in"), "address": "ada@example.com", "password": password}
    status: int = client.post("/sign-in", data=fields).status_code
    return status


@pytest.fixture
def link(client: TestClient, user: User, settings: Settings, session_factory: SessionFactory) -> str:
    """The path of a link that was mailed to the user."""
    assert _ask(client).status_code == 303
    with session_factory() as session:
        return f"/reset/{resets.link_token(settings, session.scalars(select(PasswordReset)).one())}"


def test_who_forgot_the_password_gets_a_mail_of_its_own(
    client: TestClient, user: User, session_factory: SessionFactory, nudges: Nudges
) -> None:
    assert 'href="/forgot"' in client.get("/sign-in").text
    assert _ask(client).headers["Location"] == "/forgot/sent"
    with session_factory() as session:
        mailing = session.scalars(select(Mailing)).one()
        reset = session.scalars(select(PasswordReset)).one()
        assert session.scalar(select(Contact.id)) is None  # a user is no contact
    assert (mailing.kind, mailing.unknown_policy) == (MailingKind.SYSTEM, UnknownPolicy.RESEND)
    assert (mailing.recipient_address, mailing.recipient_variables) == ("ada@example.com", {"name": "Ada"})
    assert mailing.deadline_at == reset.expires_at == reset.created_at + timedelta(minutes=30)
    assert nudges == [(queue.LAUNCH_ONE, mailing.id)]


def test_the_answer_tells_nobody_who_has_an_account(
    client: TestClient, user: User, session_factory: SessionFactory, nudges: Nudges
) -> None:
    known, unknown, nonsense = (_ask(client, who) for who in ("ada@example.com", "nobody@example.com", "no address"))
    assert known.headers["Location"] == unknown.headers["Location"] == nonsense.headers["Location"] == "/forgot/sent"
    assert known.text == unknown.text == nonsense.text
    assert len(nudges) == 1
    with session_factory.begin() as session:
        disable(session.get_one(User, user.id), now=utc_now())
    assert _ask(client).headers["Location"] == "/forgot/sent"
    assert len(nudges) == 1


def test_asking_is_throttled_by_address_and_by_client(client: TestClient, user: User, settings: Settings) -> None:
    for address in ("ada@example.com", "nobody@example.com"):  # known or not makes no difference here either
        answers = [_ask(client, address).status_code for _ in range(4)]
        assert answers == [303, 303, 303, 429]
    for number in range(settings.sign_in_attempts - 6):
        assert _ask(client, f"{number}@example.com").status_code == 303
    refused = _ask(client, "new@example.com")
    assert refused.status_code == 429
    assert "new@example.com" in refused.text
    assert 0 < int(refused.headers["Retry-After"]) <= 15 * 60
    assert _sign_in(client, OLD) == 303  # the two doors count apart


def test_the_link_sets_the_password_once_and_signs_every_browser_out(
    client: TestClient, user: User, link: str, session_factory: SessionFactory, nudges: Nudges
) -> None:
    with session_factory.begin() as session:
        open_session(session, user_id=user.id, lifetime=timedelta(days=1), now=utc_now())
    answer = _set(client, link)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    assert "Your password was changed." in client.get("/sign-in").text
    with session_factory() as session:
        assert session.scalar(select(SignInSession.id)) is None
        told = session.scalars(select(Mailing).order_by(Mailing.id.desc())).first()
        assert told is not None
        assert nudges[-1] == (queue.LAUNCH_ONE, told.id)
    assert (_sign_in(client, OLD), _sign_in(client, NEW)) == (422, 303)
    again = _set(client, link, "a third long password")
    assert again.status_code == 410
    assert "This link was used" in again.text
    assert client.get(link).status_code == 410


def test_looking_at_the_link_changes_nothing(client: TestClient, link: str, session_factory: SessionFactory) -> None:
    for _ in range(2):
        assert client.head(link).status_code == 200
        assert "ada@example.com" in client.get(link).text
    with session_factory() as session:
        assert session.scalars(select(PasswordReset.used_at)).one() is None
    assert client.post(link, data={"new_password": NEW, "new_password_again": NEW}).status_code == 403


def test_a_refused_form_names_its_field_and_the_link_still_works(client: TestClient, link: str) -> None:
    for new, again, field in (("short", "short", "new_password"), (NEW, "different", "new_password_again")):
        refused = _set(client, link, new, again)
        assert refused.status_code == 422
        assert f'id="f-{field}-error"' in refused.text
        assert NEW not in refused.text
    assert _set(client, link).status_code == 303


def test_a_link_dies_with_its_time_with_another_password_and_with_the_user(
    client: TestClient, user: User, link: str, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        reset = session.scalars(select(PasswordReset)).one()
        reset_id, until, mark = reset.id, reset.expires_at, reset.password_mark
        reset.password_mark = b"of another password"
    assert client.get(link).status_code == 404  # what the token says of the row must hold
    with session_factory.begin() as session:
        session.get_one(PasswordReset, reset_id).password_mark = mark
        hashed, session.get_one(User, user.id).password_hash = user.password_hash, "!"
    assert "This link was used" in client.get(link).text
    with session_factory.begin() as session:
        changed = session.get_one(User, user.id)
        changed.password_hash = hashed
        disable(changed, now=until)
    dead = client.get(link)
    assert (dead.status_code, "This link has expired" in dead.text) == (410, True)
    assert client.get("/reset/" + "A" * 54).status_code == 404


def test_an_old_link_has_expired(
    client: TestClient, link: str, settings: Settings, session_factory: SessionFactory
) -> None:
    token = link.rpartition("/")[2]
    with session_factory() as session:
        reset, _ = resets.read_link(session, settings, token, utc_now())
        with pytest.raises(resets.DeadLink) as caught:
            resets.read_link(session, settings, token, reset.expires_at)
    assert caught.value.fault is resets.Fault.EXPIRED


def test_who_proved_themselves_by_mail_need_not_wait_for_the_throttle(
    client: TestClient, link: str, settings: Settings
) -> None:
    for _ in range(settings.sign_in_attempts - 1):
        _sign_in(client, "wrong password")
    assert _set(client, link).status_code == 303
    assert _sign_in(client, NEW) == 303
