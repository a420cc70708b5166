"""The mail of one delivery: the same for ever, with the headers of its kind, whatever its press wrote before."""

import email
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage
from email.policy import SMTP, default

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from email_campaign.content.dkim import Signer
from email_campaign.content.language import RenderError, compile_content
from email_campaign.content.mime import BadHeader
from email_campaign.content.parts import attached_part
from email_campaign.delivery.compose import Keys, Letterhead, Press, read_unsubscribe_token, unsubscribe_url

NOW = datetime(2026, 11, 22, 12, 30, 5, 999_999, tzinfo=UTC)
KEYS = Keys(message_id=b"m" * 32, unsubscribe=b"u" * 32, address=b"a" * 32)
HTML = "<p>Grüße, {{ name }}: {{ city|urlencode }} 100%</p>\n<a href='{{ unsubscribe_url }}'>Off</a>\n"
LETTERHEAD = Letterhead(
    mailing_id=300,
    kind="campaign",
    campaign_name="Spring",
    from_name="The 100% Shop",
    from_address="news@example.com",
    reply_to="help@example.com",
    list_ids=(1, 2),
    list_name="News",
    public_url="https://mail.example",
    content=compile_content(
        "{{ name }}, {{ campaign_name }}", HTML, "{{ name }}, {{ address }}: {{ unsubscribe_url }}\n"
    ),
)
ANNA = {"name": "Anna", "city": "Köln", "plan": "gold", "address": "anna@example.test"}
PDF = attached_part("prices.pdf", "application/pdf", [bytes(range(256)) * 300])
ANY_TEXT = st.text(st.characters(codec="utf-8"), min_size=1) | st.text("ab \n\r\t.=é漢%<&\0", min_size=1)


def read(data: bytes) -> EmailMessage:
    return email.message_from_bytes(data, policy=default)


@given(ANY_TEXT, ANY_TEXT, st.integers(0, 2**40))
def test_a_press_that_wrote_other_mails_writes_the_same_bytes(name: str, city: str, position: int) -> None:
    recipient = {**ANNA, "name": name, "city": city}
    used = Press(LETTERHEAD, KEYS)
    used.compose(position + 1, ANNA, NOW - timedelta(days=1))
    assert used.compose(position, recipient, NOW) == Press(LETTERHEAD, KEYS).compose(position, recipient, NOW)


@given(ANY_TEXT, ANY_TEXT)
def test_the_mail_is_the_one_that_the_standard_library_makes(name: str, city: str) -> None:
    recipient = {**ANNA, "name": name.replace("\0", ""), "city": city.replace("\0", "")}
    message = Press(LETTERHEAD, KEYS).compose(7, recipient, NOW)
    url = unsubscribe_url("https://mail.example", KEYS.unsubscribe, 300, 7)
    rendered = LETTERHEAD.content.render({**recipient, "campaign_name": "Spring", "unsubscribe_url": url})
    theirs = EmailMessage(SMTP.clone(max_line_length=998))
    theirs["Subject"] = rendered.subject
    theirs.set_content(rendered.text)
    theirs.add_alternative(rendered.html or "", subtype="html")
    ours, other = read(message.data), read(theirs.as_bytes())
    assert ours["Subject"] == other["Subject"]
    for part, expected in zip(ours.iter_parts(), other.iter_parts(), strict=True):
        assert part.get_content_type() == expected.get_content_type()
        assert part.get_content().splitlines() == expected.get_content().splitlines()


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("campaign", ["List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Feedback-ID", "Precedence"]),
        ("test", ["List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Feedback-ID", "Precedence"]),
        ("system", ["Auto-Submitted"]),
        ("transactional", ["List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Feedback-ID", "Auto-Submitted"]),
    ],
)
def test_each_kind_of_mail_has_its_headers_once(kind: str, own: list[str]) -> None:
    message = read(Press(replace(LETTERHEAD, kind=kind), KEYS).compose(7, ANNA, NOW).data)
    common = ["Date", "Message-ID", "From", "To", "Subject", "Reply-To"]
    assert message.keys() == [*common, *own, "MIME-Version", "Content-Type"]
    assert message["From"] == "The 100% Shop <news@example.com>"


def test_the_link_in_the_header_and_in_the_body_names_the_delivery() -> None:
    message = read(Press(LETTERHEAD, KEYS).compose(7, ANNA, NOW).data)
    url = str(message["List-Unsubscribe"]).strip("<>")
    assert read_unsubscribe_token(KEYS.unsubscribe, url.rpartition("/")[2]) == (300, 7)
    assert all(url in part.get_content() for part in message.iter_parts())


def test_the_date_is_the_second_in_utc_whatever_zone_the_time_came_in() -> None:
    press = Press(LETTERHEAD, KEYS)
    data = press.compose(7, ANNA, NOW).data
    assert b"Date: Sun, 22 Nov 2026 12:30:05 +0000\r\n" in data
    assert press.compose(7, ANNA, NOW.astimezone(timezone(timedelta(hours=2)))).data == data
    assert b"12:30:06" in press.compose(7, ANNA, NOW + timedelta(microseconds=1)).data


def test_only_what_the_template_names_is_kept_and_it_composes_to_the_same_bytes() -> None:
    press = Press(LETTERHEAD, KEYS)
    message = press.compose(7, ANNA, NOW)
    assert message.variables == {"name": "Anna", "city": "Köln"}
    assert press.compose(7, {**message.variables, "address": "anna@example.test"}, NOW) == message


def test_one_contact_that_does_not_fit_leaves_the_press_to_the_others() -> None:
    press = Press(LETTERHEAD, KEYS)
    with pytest.raises(RenderError):
        press.compose(7, {"name": "Anna", "address": "anna@example.test"}, NOW)
    with pytest.raises(BadHeader):
        press.compose(7, {**ANNA, "address": "a@b.c\r\nBcc: d@e.f"}, NOW)
    assert press.compose(7, ANNA, NOW) == Press(LETTERHEAD, KEYS).compose(7, ANNA, NOW)


def test_copies_share_the_bytes_of_their_attachments_and_are_whole_with_them() -> None:
    press = Press(replace(LETTERHEAD, attached=(PDF, PDF)), KEYS)
    anna, bert = press.compose(7, ANNA, NOW), press.compose(8, {**ANNA, "name": "Bert"}, NOW)
    assert all(one is other for one, other in zip(anna.behind, bert.behind, strict=True))
    assert len(anna.own) < 3_000
    assert anna.sha256 == hashlib.sha256(anna.data).digest()
    assert Press(replace(LETTERHEAD, attached=(PDF, PDF)), KEYS).compose(7, ANNA, NOW) == anna
    message = read(anna.data)
    assert [part.get_content_type() for part in message.iter_attachments()] == ["application/pdf"] * 2
    words = message.get_body(("html",))
    assert words is not None
    assert words.get_content() == read(Press(LETTERHEAD, KEYS).compose(7, ANNA, NOW).data).get_body().get_content()  # type: ignore[union-attr]


def test_the_signature_covers_the_attachments() -> None:
    signer = Signer("example.com", "mail", generate_private_key(public_exponent=65537, key_size=1024))
    data = Press(replace(LETTERHEAD, attached=(PDF,), signer=signer), KEYS).compose(7, ANNA, NOW).data
    assert dkim.verify(data, dnsfunc=lambda *_, **__: signer.record.encode())
    swapped = data.replace(b"AAECAwQF", b"AAECAwQG", 1)
    assert not dkim.verify(swapped, dnsfunc=lambda *_, **__: signer.record.encode())
