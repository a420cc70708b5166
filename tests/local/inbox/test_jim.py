"""Jim's API as MailHog answers it, and what he does to connections."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from email_campaign.local.inbox.server import RunningInbox, running_inbox
from tests.local.inbox.wire import Wire

JIM = "/api/v2/jim"
CALM = {"AcceptChance": 1, "LinkSpeedMin": 1024, "LinkSpeedMax": 1024}


@pytest.fixture
def inbox() -> Iterator[RunningInbox]:
    """An inbox of its own: he remembers."""
    with running_inbox() as running:
        yield running


def test_jim_comes_and_goes_as_in_mailhog(web: httpx.Client, recorded: dict[str, Any]) -> None:
    for method in ("GET", "PUT", "DELETE"):
        expected = recorded[f"jim.absent {method}"]
        absent = web.request(method, JIM)
        assert (absent.status_code, absent.headers.get("content-type")) == (expected["status"], expected["type"])
    assert web.post(JIM).status_code == recorded["jim.POST without body"]["status"]
    assert web.get(JIM).json() == recorded["jim.defaults"]["body"]
    assert web.post(JIM, json={"AcceptChance": 1}).status_code == recorded["jim.POST twice"]["status"]
    assert web.get(JIM).json() == recorded["jim.POST twice changes nothing"]["body"]
    assert web.delete(JIM).status_code == 200
    sent = recorded["jim.POST with a body is read back"]["body"]
    assert web.post(JIM, json={key.lower(): value for key, value in sent.items()}).status_code == 201
    assert web.get(JIM).json() == sent
    assert web.delete(JIM).status_code == 200
    assert web.post(JIM, content=b"{broken").status_code == 201
    assert web.get(JIM).json() == sent


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"AcceptChance": "1"}',
        b'{"AcceptChance": true}',
        b"[" * 60_000,
        b'{"LinkSpeedMax": NaN}',
        b'{"LinkSpeedMax": 1e999}',
        b'{"LinkSpeedMax": 1' + b"0" * 400 + b"}",
        b" " * 70_000,
    ],
)
def test_a_put_of_wrong_types_changes_nothing(body: bytes, web: httpx.Client) -> None:
    web.post(JIM, json=CALM)
    before = web.get(JIM).json()
    assert web.put(JIM, content=body).status_code == 400
    assert web.get(JIM).json() == before


@pytest.mark.parametrize(
    ("told", "value"), [("-1", -1), ("1e300", 1e300), ("0.25", 0.25), ("1000000000000000000000", 1e21), ("null", 0)]
)
def test_any_number_is_taken_whatever_the_case_of_its_key(told: str, value: float, web: httpx.Client) -> None:
    web.post(JIM, json=CALM)
    body = f'{{"linkSPEEDmax": {told}, "unknown": "x"}} and more'
    assert web.put(JIM, content=body.encode()).status_code == 200
    assert web.get(JIM).json()["LinkSpeedMax"] == value


def test_jims_writes_have_no_body_and_no_type(web: httpx.Client) -> None:
    for answer in (web.post(JIM), web.post(JIM), web.put(JIM, json=CALM), web.put(JIM), web.delete(JIM)):
        assert (answer.content, answer.headers.get("content-type")) == (b"", None)


def test_a_put_replaces_everything_so_that_nobody_is_accepted(web: httpx.Client, inbox: RunningInbox) -> None:
    web.post(JIM)
    assert web.put(JIM, json={}).status_code == 200
    assert set(web.get(JIM).json().values()) == {0}
    with Wire(inbox.smtp_port) as wire:
        assert wire.reply() == []


@pytest.mark.parametrize(
    ("trouble", "codes"),
    [
        ({}, [250, 235, 250, 250]),
        ({"RejectSenderChance": 1}, [250, 235, 550, 500]),
        ({"RejectRecipientChance": 1}, [250, 235, 250, 550]),
        ({"RejectAuthChance": 1}, [250, 500, 250, 250]),
    ],
)
def test_jim_refuses(trouble: dict[str, int], codes: list[int], web: httpx.Client, inbox: RunningInbox) -> None:
    web.post(JIM, json=CALM | trouble)
    with Wire(inbox.smtp_port) as wire:
        wire.reply()
        web.delete(JIM)  # a connection keeps the Jim that it began with
        assert wire.codes("EHLO x", "AUTH EXTERNAL a", "MAIL FROM:<a@b>", "RCPT TO:<b@x>") == codes


def test_jim_refuses_credentials_at_the_end_of_their_exchange(web: httpx.Client, inbox: RunningInbox) -> None:
    web.post(JIM, json=CALM | {"RejectAuthChance": 1})
    with Wire(inbox.smtp_port) as wire:
        wire.reply()
        assert wire.codes("EHLO x", "AUTH LOGIN", "dXNlcg==", "cGFzcw==") == [250, 334, 334, 500]
        assert wire.codes("AUTH PLAIN", "AGEAYg==", "AUTH CRAM-MD5", "dXNlciAw") == [334, 500, 334, 500]
        assert wire.say("AUTH PLAIN AGEAYg==") == "500 Unrecognised command"
        assert wire.codes("AUTH PLAIN !!", "AUTH NTLM") == [550, 504]


def test_a_refusal_names_the_address(web: httpx.Client, inbox: RunningInbox) -> None:
    web.post(JIM, json=CALM | {"RejectRecipientChance": 1})
    with Wire(inbox.smtp_port) as wire:
        wire.reply()
        wire.codes("EHLO x", "MAIL FROM:<a@b>")
        assert wire.say("RCPT TO:<b@x>") == "550 Invalid recipient b@x"
        assert wire.codes("RCPT TO:b@x", "RSET") == [550, 250]


def test_jim_disconnects_after_the_first_reply(web: httpx.Client, inbox: RunningInbox) -> None:
    web.post(JIM, json=CALM | {"DisconnectChance": 1})
    with Wire(inbox.smtp_port) as wire:
        assert wire.reply()
        assert wire.say("NOOP") == "250 Ok"
        assert wire.reply() == []


def test_jim_slows_the_link(web: httpx.Client, inbox: RunningInbox) -> None:
    web.post(JIM, json=CALM | {"LinkSpeedAffect": 1})
    with Wire(inbox.smtp_port) as wire:
        wire.reply()
        started = time.monotonic()
        assert wire.codes("NOOP " + "x" * 505) == [250]
        assert 0.45 < time.monotonic() - started < 5
