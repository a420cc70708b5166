"""Releasing mail to another server: MailHog's answers, one by one, against our own inbox and an aiosmtpd with AUTH."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from email_campaign.local.inbox.mail import to_eml
from email_campaign.local.inbox.server import RunningInbox, running_inbox
from email_campaign.local.ports import free_port
from tests.local.inbox.samples import SAMPLES
from tests.local.inbox.wire import deliver

SERVERS = "/api/v2/outgoing-smtp"
Release = Callable[[Any], httpx.Response]


@pytest.fixture(scope="module")
def other() -> Iterator[RunningInbox]:
    """The server that takes what is released."""
    with running_inbox() as running:
        yield running


@pytest.fixture
def inbox() -> Iterator[RunningInbox]:
    """An inbox of its own: it remembers servers."""
    with running_inbox() as running:
        yield running


@pytest.fixture
def release(inbox: RunningInbox, other: RunningInbox, web: httpx.Client) -> Release:
    """Release one mail with this body."""
    other.store.delete_all()
    identity = deliver(inbox.smtp_port, SAMPLES["plain"].data.encode())

    def release_it(body: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.post(f"/api/v1/messages/{identity}/release", content=content)

    return release_it


def server(port: int, **more: str | bool) -> dict[str, str | bool]:
    return {"Email": "new@to.example", "Host": "127.0.0.1", "Port": str(port)} | more


def assert_empty(answer: httpx.Response, status: int) -> None:
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (status, b"", "text/json")


def test_a_released_mail_goes_to_the_one_recipient_with_the_added_headers(
    release: Release, inbox: RunningInbox, other: RunningInbox
) -> None:
    assert_empty(release(server(other.smtp_port)), 200)
    [mail] = other.store
    assert (mail.sender, mail.recipients) == ("nobody@mailhog.example", ("new@to.example",))
    assert mail.raw + b"\r\n" == to_eml(inbox.store.newest()[0])
    assert mail.helo == "localhost"


@pytest.mark.parametrize("recipient", ["ünï@tö.example", "b@x"])
def test_keys_count_in_any_case_and_the_content_type_does_not(
    recipient: str, release: Release, other: RunningInbox
) -> None:
    body = f'{{"EMAIL":"{recipient}","hOST":"","port":"{other.smtp_port}","more":[1]}} rest'
    assert_empty(release(body.encode()), 200)
    assert other.store.newest()[0].recipients == (recipient,)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b'{"Port": 25}',
        b'{"Save": "yes"}',
        b'{"Email": ["a@b"]}',
        b"[" * 50_000,
        b" " * 70_000,
    ],
)
def test_what_cannot_be_read_is_500_with_words(body: bytes, release: Release) -> None:
    answer = release(body)
    assert (answer.status_code, answer.text) == (500, "Error decoding request body")
    assert answer.headers["content-type"] == "text/json"


@pytest.mark.parametrize(
    "trouble",
    [
        {"Port": ""},
        {"Port": "0"},
        {"Port": "99999"},
        {"Port": "-1"},
        {"Port": "smtp "},
        {"Host": "a\0b"},
        {"Host": "\ud800"},
        {"Email": ""},
        {"Email": "a@b>\r\nDATA"},
        {"Email": "a@b\nc"},
    ],
)
def test_what_cannot_be_delivered_is_500_without_words(
    trouble: dict[str, str], release: Release, other: RunningInbox
) -> None:
    assert_empty(release(server(other.smtp_port) | trouble), 500)
    assert len(other.store) == 0


def test_a_server_that_refuses_or_is_not_there_is_500(release: Release, other: RunningInbox) -> None:
    assert_empty(release(server(free_port())), 500)
    with httpx.Client(base_url=other.http_url) as monkey:
        monkey.post("/api/v2/jim", json={"AcceptChance": 1, "RejectRecipientChance": 1})
        assert_empty(release(server(other.smtp_port)), 500)
        monkey.put("/api/v2/jim", json={"AcceptChance": 0})
        assert_empty(release(server(other.smtp_port)), 500)
        monkey.delete("/api/v2/jim")


def test_a_missing_mail_is_404_and_a_null_asks_for_nothing(release: Release, web: httpx.Client) -> None:
    missing = web.post("/api/v1/messages/unknown/release", json=server(25))
    assert (missing.status_code, missing.text) == (404, "This mail is not in the inbox any more.\n")
    assert web.post("/api/v1/messages/unknown/release", content=b"{").status_code == 500
    assert_empty(release(b"null"), 500)


def test_a_saved_server_is_used_by_its_name(release: Release, other: RunningInbox, web: httpx.Client) -> None:
    empty = web.get(SERVERS)
    assert (empty.text, empty.headers["content-type"]) == ("{}", "application/json")
    assert_empty(release(server(other.smtp_port, Name="second", Save=True)), 200)
    assert_empty(release(server(other.smtp_port, Name="second", Save=True)), 400)
    assert_empty(release({"Name": "second"}), 200)
    assert_empty(release({"Name": "second", "Email": "third@x", "Host": "nowhere.invalid", "Port": "1"}), 200)
    assert_empty(release({"Name": "unknown"}), 400)
    assert [mail.recipients[0] for mail in other.store] == ["third@x", "new@to.example", "new@to.example"]
    assert list(web.get(SERVERS).json().items()) == [
        (
            "second",
            {
                "Name": "second",
                "Save": True,
                "Email": "new@to.example",
                "Host": "127.0.0.1",
                "Port": str(other.smtp_port),
                "Username": "",
                "Password": "",
                "Mechanism": "",
            },
        )
    ]


def test_a_server_is_saved_even_if_it_does_not_take_the_mail(release: Release, web: httpx.Client) -> None:
    assert_empty(release(server(free_port(), Name="b", Save=True)), 500)
    assert_empty(release(server(free_port(), Name="a", Save=True, Username="u", Mechanism="LOGIN")), 400)
    assert list(web.get(SERVERS).json()) == ["a", "b"]


def test_saved_servers_are_bounded(release: Release, web: httpx.Client) -> None:
    answers = [release(server(0, Name=f"n{number}", Save=True)).status_code for number in range(101)]
    assert answers == [500] * 100 + [400]
    assert len(web.get(SERVERS).json()) == 100


@pytest.mark.parametrize("mechanism", ["PLAIN", "CRAMMD5"])
def test_credentials_are_used_with_mailhogs_mechanisms(mechanism: str, release: Release, other: RunningInbox) -> None:
    assert_empty(release(server(other.smtp_port, Username="u", Password="p", Mechanism=mechanism)), 200)
    with httpx.Client(base_url=other.http_url) as monkey:
        monkey.post("/api/v2/jim", json={"AcceptChance": 1, "RejectAuthChance": 1})
        assert_empty(release(server(other.smtp_port, Username="u", Password="p", Mechanism=mechanism)), 500)
        monkey.delete("/api/v2/jim")


@pytest.mark.parametrize("mechanism", ["", "plain", "CRAM-MD5", "LOGIN"])
@pytest.mark.parametrize("credentials", [{"Username": "u"}, {"Password": "p"}])
def test_another_mechanism_is_400(
    mechanism: str, credentials: dict[str, str], release: Release, other: RunningInbox
) -> None:
    assert_empty(release(server(other.smtp_port, Mechanism=mechanism) | credentials), 400)
    assert len(other.store) == 0


class Strict:
    """An aiosmtpd handler that keeps envelopes."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        self.envelopes.append(envelope)
        return "250 taken"


def test_another_server_checks_the_credentials(release: Release) -> None:
    def check(_: SMTP, __: Session, ___: Envelope, mechanism: str, told: LoginPassword) -> AuthResult:
        return AuthResult(success=told == LoginPassword(b"user", b"secret"), handled=False)

    handler = Strict()
    controller = Controller(
        handler,
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=check,
        auth_require_tls=False,
        enable_SMTPUTF8=True,
    )
    controller.start()
    try:
        asked = server(controller.port, Mechanism="PLAIN", Username="user")
        assert_empty(release(asked | {"Password": "wrong"}), 500)
        assert_empty(release(asked | {"Password": "secret", "Email": "ünï@tö.example"}), 200)
    finally:
        controller.stop()
    [envelope] = handler.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("nobody@mailhog.example", ["ünï@tö.example"])
    assert envelope.mail_options == ["BODY=8BITMIME", "SMTPUTF8"]
