"""Trouble by recipient: what a real SMTP client meets, what others do not, and the page that sets it."""

import re
import smtplib
import time
from collections.abc import Iterator

import httpx
import pytest

from email_campaign.local.inbox.server import RunningInbox
from email_campaign.local.inbox.trouble import Refused, Troubles
from tests.local.inbox.wire import Wire, deliver

MAIL = "Subject: troubled\r\n\r\nx"


@pytest.fixture
def web(inbox: RunningInbox) -> Iterator[httpx.Client]:
    """A client of the pages, after which no trouble is left."""
    with httpx.Client(base_url=inbox.http_url) as client:
        yield client
        client.post("/trouble/stop")


def trouble(web: httpx.Client, pattern: str, action: str, seconds: str = "") -> httpx.Response:
    answer = web.post("/trouble/rules", data={"pattern": pattern, "action": action, "seconds": seconds})
    assert answer.status_code == 303
    return answer


def send(inbox: RunningInbox, *recipients: str) -> dict[str, tuple[int, bytes]]:
    """Send one mail as Python's own client does; who was refused."""
    with smtplib.SMTP("127.0.0.1", inbox.smtp_port, timeout=10) as client:
        return client.sendmail("a@from.example", recipients, MAIL)


@pytest.mark.parametrize(("action", "code", "words"), [("450", 450, b"4.2.1"), ("550", 550, b"5.1.1")])
def test_a_refused_recipient_is_told_so_and_the_others_get_the_mail(
    action: str, code: int, words: bytes, web: httpx.Client, inbox: RunningInbox
) -> None:
    trouble(web, "*@bad.example", action)
    refused = send(inbox, "one@bad.example", "two@good.example")
    assert list(refused) == ["one@bad.example"]
    assert refused["one@bad.example"][0] == code
    assert refused["one@bad.example"][1].startswith(words)
    assert [mail.recipients for mail in inbox.store] == [("two@good.example",)]


def test_421_closes_the_connection_and_others_go_on(web: httpx.Client, inbox: RunningInbox) -> None:
    with Wire(inbox.smtp_port) as other:
        other.reply()
        trouble(web, "*@busy.example", "421")
        with smtplib.SMTP("127.0.0.1", inbox.smtp_port, timeout=10) as client:
            with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
                client.sendmail("a@from.example", "one@busy.example", MAIL)
            assert refusal.value.recipients["one@busy.example"][0] == 421
            with pytest.raises(smtplib.SMTPServerDisconnected):
                client.noop()
        assert other.codes("EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<two@good.example>") == [250, 250, 250]
    assert send(inbox, "two@good.example") == {}


@pytest.mark.parametrize(("action", "is_kept"), [("keep-and-drop", True), ("lose-and-drop", False)])
def test_after_the_final_dot_nobody_answers(action: str, is_kept: bool, web: httpx.Client, inbox: RunningInbox) -> None:
    trouble(web, "*@drop.example", action)
    with (
        smtplib.SMTP("127.0.0.1", inbox.smtp_port, timeout=10) as client,
        pytest.raises(smtplib.SMTPServerDisconnected),
    ):
        client.sendmail("a@from.example", ["one@drop.example", "two@good.example"], MAIL)
    assert len(inbox.store) == is_kept
    assert send(inbox, "two@good.example") == {}
    assert len(inbox.store) == is_kept + 1


def test_a_late_answer_holds_up_nobody_else(web: httpx.Client, inbox: RunningInbox) -> None:
    trouble(web, "*@slow.example", "delay", "0.4")
    with Wire(inbox.smtp_port) as slow:
        slow.reply()
        slow.codes("EHLO x", "MAIL FROM:<a@b>")
        started = time.monotonic()
        slow.send(b"RCPT TO:<one@slow.example>\r\n")
        deliver(inbox.smtp_port, b"Subject: fast\r\n\r\nx")
        fast_seconds = time.monotonic() - started
        assert slow.reply() == ["250 Recipient one@slow.example ok"]
        slow_seconds = time.monotonic() - started
    assert fast_seconds < 0.4 <= slow_seconds < 5
    assert len(inbox.store) == 1


def test_a_pipelining_client_gets_its_replies_in_order_around_a_late_one(
    web: httpx.Client, inbox: RunningInbox
) -> None:
    trouble(web, "*@slow.example", "delay", "0.2")
    trouble(web, "*@bad.example", "550")
    rest = b"RCPT TO:<b@bad.example>\r\nRCPT TO:<c@x>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n"
    with Wire(inbox.smtp_port) as wire:
        wire.reply()
        wire.send(b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@slow.example>\r\n" + rest)
        codes = [wire.reply()[-1][:3] for _ in range(8)]
        assert codes == ["250", "250", "250", "550", "250", "354", "250", "221"]
        assert wire.reply() == []
    assert [mail.recipients for mail in inbox.store] == [("a@slow.example", "c@x")]


def test_a_client_that_leaves_while_it_waits_does_no_harm(web: httpx.Client, inbox: RunningInbox) -> None:
    trouble(web, "*", "delay", "0.1")
    with Wire(inbox.smtp_port) as wire:
        wire.reply()
        wire.codes("EHLO x", "MAIL FROM:<a@b>")
        wire.send(b"RCPT TO:<a@slow.example>\r\n")
    started = time.monotonic()
    assert send(inbox, "b@slow.example") == {}
    assert time.monotonic() - started >= 0.1


def test_a_rule_acts_on_open_connections_and_ends_when_it_is_removed(web: httpx.Client, inbox: RunningInbox) -> None:
    with Wire(inbox.smtp_port) as wire:
        wire.reply()
        wire.codes("EHLO x", "MAIL FROM:<a@b>")
        trouble(web, "*@Bad.Example", "550")
        assert wire.codes("RCPT TO:<ONE@BAD.EXAMPLE>") == [550]
        page = web.get("/trouble").text
        assert "*@Bad.Example" in page
        assert "met once" in page
        remove = re.search('action="(/trouble/rules/[0-9]+/remove)"', page)
        assert remove
        assert web.post(remove[1]).status_code == 303
        assert wire.codes("RCPT TO:<one@bad.example>") == [250]
    assert "No rule" in web.get("/trouble").text


def test_the_first_rule_that_fits_counts(web: httpx.Client, inbox: RunningInbox) -> None:
    trouble(web, "ada@*", "450")
    trouble(web, "*", "550")
    refused = send_all_refused(inbox, "ada@x.example", "bob@x.example")
    assert {address: code for address, (code, _) in refused.items()} == {"ada@x.example": 450, "bob@x.example": 550}


def send_all_refused(inbox: RunningInbox, *recipients: str) -> dict[str, tuple[int, bytes]]:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
        send(inbox, *recipients)
    return dict(refusal.value.recipients)


def test_the_list_says_that_trouble_is_on_and_stops_all_of_it(web: httpx.Client, inbox: RunningInbox) -> None:
    assert "Trouble is on" not in web.get("/").text
    trouble(web, "*@bad.example", "550")
    web.post("/api/v2/jim", json={"AcceptChance": 1})
    assert "Trouble is on: 1 reply rule and Jim’s chances" in web.get("/").text
    assert web.post("/trouble/stop").headers["location"] == "/"
    assert "Trouble is on" not in web.get("/").text
    assert web.get("/api/v2/jim").status_code == 404


def test_jims_chances_are_set_by_a_form_and_seen_by_the_api(web: httpx.Client) -> None:
    names = re.findall('id="f-([a-z_]+)" name="[a-z_]+" inputmode', web.get("/trouble").text)
    form = {name: "0" for name in names if name != "seconds"} | {"accept_chance": "100", "reject_auth_chance": "2.5"}
    assert web.post("/trouble/jim", data=form).status_code == 303
    jim = web.get("/api/v2/jim").json()
    assert (jim["AcceptChance"], jim["RejectAuthChance"], jim["LinkSpeedMin"]) == (1, 0.025, 0)
    form["reject_auth_chance"] = "50"
    web.post("/trouble/jim", data=form)
    assert web.get("/api/v2/jim").json()["RejectAuthChance"] == 0.5
    page = web.get("/trouble").text
    assert "Jim is here" in page
    assert web.post("/trouble/jim/dismiss", data=form).status_code == 303
    assert web.get("/api/v2/jim").status_code == 404


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"pattern": "", "action": "450"}, "Say whom it meets"),
        ({"pattern": "slow.example", "action": "450"}, "For a whole domain write *@slow.example."),
        ({"pattern": "a b@x", "action": "450"}, "no blanks"),
        ({"pattern": "*@x", "action": "explode"}, "Choose what happens."),
        ({"pattern": "*@x", "action": "delay", "seconds": "soon"}, "a number above 0, at most 600"),
        ({"pattern": "*@x", "action": "delay", "seconds": "nan"}, "a number above 0, at most 600"),
        ({"pattern": "*@x", "action": "delay", "seconds": "601"}, "a number above 0, at most 600"),
    ],
)
def test_a_refused_rule_says_why_and_comes_back_filled(form: dict[str, str], message: str, web: httpx.Client) -> None:
    page = web.post("/trouble/rules", data=form)
    assert page.status_code == 400
    assert message in page.text
    assert f'value="{form["pattern"]}"' in page.text
    assert "No rule" in page.text


@pytest.mark.parametrize("value", ["", "-1", "101", "nan", "1e999", "half"])
def test_a_chance_beyond_reason_is_refused(value: str, web: httpx.Client) -> None:
    page = web.post("/trouble/jim", data={"accept_chance": value})
    assert page.status_code == 400
    assert "Give a number from 0 to 100." in page.text
    assert web.get("/api/v2/jim").status_code == 404


@pytest.mark.parametrize("path", ["/trouble/rules", "/trouble/jim", "/trouble/stop", "/trouble/rules/1/remove"])
def test_no_other_site_can_make_or_end_trouble(path: str, web: httpx.Client) -> None:
    trouble(web, "*@bad.example", "550")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://elsewhere.example"}):
        refused = web.post(path, data={"pattern": "*", "action": "421"}, headers=headers)
        assert refused.status_code == 403
    assert web.get("/trouble").text.count("/remove") == 1


def test_a_form_of_megabytes_is_refused(web: httpx.Client) -> None:
    assert web.post("/trouble/rules", content=b"pattern=" + b"x" * 100_000).status_code == 413


@pytest.mark.parametrize(
    ("pattern", "address", "fits"),
    [
        ("*@slow.example", "a@slow.example", True),
        ("*@slow.example", "a@slow.example.org", False),
        ("user?@x", "user1@x", True),
        ("user?@x", "user12@x", False),
        ("*@[127.0.0.1]", "a@[127.0.0.1]", True),
        ("*@[127.0.0.1]", "a@1", False),
        ("ü*@x", "ÜNI@X", True),
        ("*" + "a*" * 120, "a" * 5_000 + "b", True),
        ("*" + "a*" * 100 + "c", "a" * 5_000 + "b", False),
    ],
)
def test_patterns_know_two_signs(pattern: str, address: str, fits: bool) -> None:
    troubles = Troubles()
    troubles.add(pattern, "550")
    assert (troubles.meet(address) is not None) == fits


def test_there_are_at_most_a_hundred_rules() -> None:
    troubles = Troubles()
    for number in range(100):
        troubles.add(f"{number}@x", "450")
    with pytest.raises(Refused, match="Remove one first"):
        troubles.add("*", "450")
