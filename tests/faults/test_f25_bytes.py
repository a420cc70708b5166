"""F25: the bytes of a whole mail, for any words that anybody may have typed: lines that the wire can carry, headers
that stay what they are, and nothing that breaks out of its place.

What the parts read as is tested in tests/content/test_mime.py, and the signature by itself in test_dkim.py.
"""

import email
import re
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from typing import Any

import dkim
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from email_campaign.content.dkim import Signer
from email_campaign.content.language import compile_content
from email_campaign.content.mime import BadHeader
from email_campaign.content.parts import LINE_BYTES, attached_part
from email_campaign.delivery.compose import Keys, Letterhead, Press, read_unsubscribe_token

KEYS = Keys(b"m" * 32, b"u" * 32, b"a" * 32)
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BULK = ["List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Feedback-ID", "Precedence"]
SIGNER = Signer("example.com", "mail", generate_private_key(public_exponent=65537, key_size=1024))
USUAL = ["DKIM-Signature", "Date", "Message-ID", "From", "To", "Subject", "MIME-Version", "Content-Type"]
CONTENT = compile_content(
    "{{ subject|default('') }}", '<p>{{ body }}</p><a href="{{ unsubscribe_url }}">Bye</a>', "{{ body }}\n"
)

ANYTHING = st.text(st.characters(codec="utf-8"), max_size=300)
NASTY = st.text('ab \n\r\t.=?é漢\u2028\x85\0-_:<>@,"\\', max_size=200)
INJECTED = st.sampled_from(
    [
        "x\r\nBcc: everybody@example.com",
        "x\nList-Unsubscribe: <https://evil.example>",
        "x\r\n\r\n<p>another body</p>",
        "x\r\n.\r\nMAIL FROM:<evil@example.com>\r\n",
        "=?utf-8?q?x=0D=0ABcc:_everybody=40example.com?=",
        "x" * 1_900,
        "x\u2028Bcc: y\x85Bcc: z\x0b\x0c\x1c\x1d\x1e",
        '"; bcc="everybody@example.com',
        "> <evil@example.com",
    ]
)
WORDS = ANYTHING | NASTY | INJECTED
ADDRESS = st.from_regex(r"[a-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[a-z0-9-]{1,60}\.(example|test)", fullmatch=True)


FILES = st.lists(st.tuples(WORDS, WORDS | st.sampled_from(["text/html", "message/rfc822"]), st.binary()), max_size=3)


def cut(data: bytes) -> list[bytes]:
    """A file in pieces, as it is read."""
    return [data[start : start + LINE_BYTES] for start in range(0, len(data), LINE_BYTES)]


@st.composite
def mails(draw: st.DrawFn) -> tuple[Letterhead, dict[str, Any], bytes]:
    """A mail for anybody from anybody; an address that no header can carry is refused, and that is fine too."""
    letterhead = Letterhead(
        mailing_id=draw(st.integers(1, 2**63 - 1)),
        kind=draw(st.sampled_from(["campaign", "test", "system"])),
        campaign_name=draw(WORDS),
        from_name=draw(WORDS),
        from_address=draw(ADDRESS),
        reply_to=draw(ADDRESS | st.just("")),
        list_ids=tuple(draw(st.lists(st.integers(1, 2**63 - 1), max_size=5))),
        list_name=draw(WORDS),
        public_url="https://mail.example/" + "p" * draw(st.integers(0, 200)),
        content=CONTENT,
        signer=SIGNER,
        attached=tuple(attached_part(name, kind, cut(data)) for name, kind, data in draw(FILES)),
    )
    recipient = {"name": draw(WORDS), "address": draw(ADDRESS), "subject": draw(WORDS), "body": draw(WORDS)}
    message = Press(letterhead, KEYS).compose(draw(st.integers(1, 2**40)), recipient, NOW)
    return letterhead, recipient, message.data


@settings(max_examples=60)
@given(mails())
def test_f25_no_line_is_too_long_for_the_wire_and_none_ends_the_mail(mail: tuple[Letterhead, Any, bytes]) -> None:
    data = mail[2]
    assert data.isascii()
    assert data.endswith(b"\r\n")
    lines = data.split(b"\r\n")
    assert max(map(len, lines)) <= 998  # RFC 5322 2.1.1
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)


@settings(max_examples=60)
@given(mails())
def test_f25_every_header_comes_once_and_nobody_adds_one(mail: tuple[Letterhead, Any, bytes]) -> None:
    letterhead, _, data = mail
    head = data.partition(b"\r\n\r\n")[0].decode()
    names = [line.partition(":")[0] for line in head.split("\r\n") if line[:1] not in {" ", "\t"}]
    expected = [*USUAL, *(["Reply-To"] if letterhead.reply_to else [])]
    expected += ["Auto-Submitted"] if letterhead.kind == "system" else BULK
    assert sorted(names) == sorted(expected)


@settings(max_examples=60)
@given(mails())
def test_f25_what_programs_read_has_no_encoded_word_and_is_whole(mail: tuple[Letterhead, Any, bytes]) -> None:
    letterhead, _, data = mail
    head = re.sub(r"\r\n(?=[ \t])", "", data.partition(b"\r\n\r\n")[0].decode())
    values = dict(line.split(": ", 1) for line in head.split("\r\n"))
    for name in ("Message-ID", "Feedback-ID", *BULK):
        assert "=?" not in values.get(name, "")
    assert re.fullmatch(r"<[0-9a-f]{32,}@\S+>", values["Message-ID"])
    if letterhead.kind != "system":
        token = values["List-Unsubscribe"].removeprefix(f"<{letterhead.public_url}/u/").removesuffix(">")
        assert read_unsubscribe_token(KEYS.unsubscribe, token) is not None  # one click (RFC 8058), whatever its length


@settings(max_examples=60)
@given(mails())
def test_f25_sender_and_recipient_are_who_they_are_for_any_name(mail: tuple[Letterhead, dict[str, Any], bytes]) -> None:
    letterhead, recipient, data = mail
    parsed = email.message_from_bytes(data, policy=default)
    assert isinstance(parsed, EmailMessage)
    assert [a.addr_spec for a in parsed["From"].addresses] == [letterhead.from_address]
    assert [a.addr_spec for a in parsed["To"].addresses] == [recipient["address"]]
    words = ["multipart/alternative", "text/plain", "text/html"]
    kinds = [part.get_content_type() for part in parsed.walk()]
    files = len(letterhead.attached)
    assert kinds[: len(kinds) - files] == (["multipart/mixed", *words] if files else words)
    assert len(list(parsed.iter_attachments())) == files


@given(st.lists(st.tuples(WORDS.filter(str.strip), st.binary(max_size=200)), min_size=1, max_size=3))
def test_f25_a_file_is_what_it_was_under_any_name(files: list[tuple[str, bytes]]) -> None:
    attached = tuple(attached_part(name, "application/pdf", cut(data)) for name, data in files)
    letterhead = Letterhead(1, "campaign", "", "", "news@example.com", "", (1,), "", "https://mail.example", CONTENT)
    press = Press(replace(letterhead, attached=attached), KEYS)
    parsed = email.message_from_bytes(
        press.compose(1, {"address": "a@b.example", "body": ""}, NOW).data, policy=default
    )
    assert isinstance(parsed, EmailMessage)
    parts = list(parsed.iter_attachments())
    assert [part.get_payload(decode=True) for part in parts] == [data for _, data in files]
    assert [part.get_filename() for part in parts] == [name.strip() for name, _ in files]  # the library strips it
    for part in parts:
        assert sorted(part.keys()) == ["Content-Disposition", "Content-Transfer-Encoding", "Content-Type"]
        assert (part.get_content_type(), part.get_content_disposition()) == ("application/pdf", "attachment")
        assert not part.defects


@settings(max_examples=60)
@given(mails())
def test_f25_the_signature_verifies_for_any_words(mail: tuple[Letterhead, Any, bytes]) -> None:
    def look_up(name: bytes, **_: object) -> bytes:
        assert name.decode().rstrip(".") == SIGNER.record_name
        return SIGNER.record.encode()

    assert dkim.verify(mail[2], dnsfunc=look_up)


@given(WORDS.filter(lambda words: not re.fullmatch(r"[\x21-\x7e]*", words)))
def test_f25_an_address_with_anything_in_it_is_refused(words: str) -> None:
    letterhead = Letterhead(1, "campaign", "", "", "news@example.com", "", (1,), "", "https://mail.example", CONTENT)
    try:
        Press(letterhead, KEYS).compose(1, {"address": f"{words}@example.com", "body": ""}, NOW)
    except BadHeader:
        return
    raise AssertionError(words)
