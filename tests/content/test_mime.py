"""The bytes of a mail: what any parser reads is what was meant, and no input breaks out of its place."""

import email
import re
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import SMTP, default
from email.utils import parseaddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_campaign.content.mime import BadHeader, Head, address_header, assemble, list_id_header, text_header

POLICY = SMTP.clone(max_line_length=998)
ANY_TEXT = st.text(st.characters(codec="utf-8")) | st.text("ab \n\r\t.=é漢\u2028\x85\0-_?", max_size=300)
CONTROLS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
URL = "https://mail.example/u/" + "a" * 120


def make(
    subject: str = "Hello",
    name: str = "Anna",
    text: str = "text\n",
    html: str | None = "<p>html</p>\n",
    more: tuple[tuple[str, str], ...] = (),
) -> bytes:
    headers: list[tuple[str, str | None]] = [
        ("From", address_header("The Shop", "news@example.com")),
        ("To", None),
        ("Subject", None),
        ("Message-ID", "<0123456789abcdef0123456789abcdef@example.com>"),
        ("List-Unsubscribe", f"<{URL}>, <mailto:{'u' * 40}@example.com>"),
        *more,
    ]
    head = Head(headers).fill([address_header(name, "anna@example.test"), text_header(subject)])
    return assemble(head, text, html, b"seed")


def read(data: bytes) -> EmailMessage:
    return email.message_from_bytes(data, policy=default)


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    content = part.get_content()
    assert isinstance(content, str)
    return content


def decode(phrase: str) -> str:
    return str(make_header(decode_header(phrase)))


def normal(text: str) -> str:
    """What a body must come back as: line ends unified; how many stand at the end is nobody's concern."""
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_the_mail_parses_to_what_was_meant(subject: str, name: str, text: str, html: str) -> None:
    message = read(make(subject, name, text, html))
    assert message["Subject"] == CONTROLS.sub(" ", subject).strip()
    # Not by `message["To"].addresses`: it puts a blank between adjacent encoded-words of a name (against RFC 2047 6.2).
    phrase, address = parseaddr(str(email.message_from_bytes(make(subject, name, text, html))["To"]))
    assert (decode(phrase), address) == (CONTROLS.sub(" ", name).strip(), "anna@example.test")
    assert normal(body(message, "plain")) == normal(text)
    assert normal(body(message, "html")) == normal(html)
    assert not message.defects
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT | st.none())
def test_the_bytes_keep_the_rules_of_the_wire(subject: str, name: str, text: str, html: str | None) -> None:
    data = make(subject, name, text, html)
    assert data.isascii()
    assert data.endswith(b"\r\n")
    lines = data.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    assert max(map(len, lines)) <= 998
    head = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    names = [line.partition(b":")[0].lower() for line in head if not line.startswith(b" ")]
    assert sorted(names) == sorted(
        [b"from", b"to", b"subject", b"message-id", b"list-unsubscribe", b"mime-version", b"content-type"]
        + ([b"content-transfer-encoding"] if html is None else [])
    )
    assert all(line.strip() for line in head)


@given(ANY_TEXT, ANY_TEXT)
def test_headers_fold_within_78_columns(subject: str, name: str) -> None:
    head = make(subject, name).partition(b"\r\n\r\n")[0].split(b"\r\n")
    for line in head:
        assert len(line) <= 78 or b"List-Unsubscribe" in line


@given(ANY_TEXT, ANY_TEXT)
def test_the_mail_parses_as_the_one_that_the_standard_library_makes(text: str, html: str) -> None:
    text, html = text.replace("\0", ""), html.replace("\0", "")
    theirs = EmailMessage(POLICY)
    theirs["Subject"] = "Hello"
    theirs.set_content(normal(text) + "\n")
    theirs.add_alternative(normal(html) + "\n", subtype="html")
    ours, other = read(make("Hello", "Anna", text, html)), read(theirs.as_bytes())
    for kind in ("plain", "html"):
        assert normal(body(ours, kind)) == normal(body(other, kind))
    assert ours["Subject"] == other["Subject"]
    assert ours.get_content_type() == other.get_content_type()


def test_the_same_input_gives_the_same_bytes() -> None:
    assert make("Grüße", "Ännä", "é\n" * 100, "漢\n" * 100) == make("Grüße", "Ännä", "é\n" * 100, "漢\n" * 100)


def test_one_click_unsubscribing_survives_long_links() -> None:
    data = make()
    assert b"List-Unsubscribe: <" + URL.encode() + b">,\r\n <mailto:" in data
    assert b"=?" not in data


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\n" * 50, "7bit"),
        ("a" * 990, "7bit"),
        ("a" * 998 + "\n" + "b" * 998, "7bit"),
        ("short\n" * 200 + "a" * 999, "quoted-printable"),
        ("a" * 999 + "\n" + "short\n" * 200, "quoted-printable"),
        ("a" * 2_000, "quoted-printable"),
        ("nul \0", "quoted-printable"),
        ("Liebe Grüße aus Köln, und bis zum nächsten Mal\n" * 20, "quoted-printable"),
        ("漢字かな交じり文\n" * 20, "base64"),
        ("Привет, как дела?\n" * 20, "base64"),
    ],
)
def test_a_body_is_encoded_in_the_way_that_suits_it(text: str, encoding: str) -> None:
    message = read(make(text=text, html=None))
    assert message["Content-Transfer-Encoding"] == encoding
    assert normal(str(message.get_content())) == normal(text)


def test_the_boundary_cannot_be_forged() -> None:
    boundary = re.search(rb'boundary="([^"]+)"', make())
    assert boundary
    forged = f"--{boundary[1].decode()}\n\nevil\n--{boundary[1].decode()}--\n"
    message = read(make(text=forged))
    assert normal(body(message, "plain")) == normal(forged)
    assert len(list(message.iter_parts())) == 2


@pytest.mark.parametrize(
    "header",
    [
        ("X-A", "a\r\nBcc: evil@example.com"),
        ("X-A", "a\nb"),
        ("X-A", "a\r\n b"),
        ("X-A", "a\0b"),
        ("X-A", "é"),
        ("X-A\r\nBcc", "a"),
        ("X-A: b\r\nBcc", "a"),
        ("X A", "a"),
        ("", "a"),
        ("X-A", "a" * 1_000),
        ("subject", "again"),
        ("Content-Type", "text/plain"),
        ("MIME-Version", "1.0"),
    ],
)
def test_a_header_that_could_break_out_is_refused(header: tuple[str, str]) -> None:
    with pytest.raises(BadHeader):
        make(more=(header,))


@pytest.mark.parametrize("value", ["a\r\nBcc: evil@example.com", "a\nb", "a\r\n b", "a\0b", "é", "a" * 1_000])
def test_a_value_of_one_mail_that_could_break_out_is_refused(value: str) -> None:
    head = Head([("X-A", None), ("X-B", "b")])
    assert head.fill(["a"]) == b"X-A: a\r\nX-B: b\r\nMIME-Version: 1.0\r\n"
    with pytest.raises(BadHeader):
        head.fill([value])


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)), st.text("%sd(){}0 ", max_size=200))
def test_what_looks_like_a_placeholder_in_a_header_is_just_text(common: str, own: str) -> None:
    head = email.message_from_bytes(Head([("X-A", common), ("X-B", None)]).fill([own]), policy=SMTP)
    assert str(head["X-A"]).split() == common.split()
    assert str(head["X-B"]).split() == own.split()


@pytest.mark.parametrize(
    "address", ["", "a", "a@", "@b", "a b@c.d", "a@b.c\r\nBcc: x@y.z", "a@b.c>", "<a@b.c", "a@b.c, d@e.f",
    "é@b.c", "a@b.c\n", '"a"@b.c', "a@b@c.d"]
)  # fmt: skip
def test_an_address_that_could_break_out_is_refused(address: str) -> None:
    with pytest.raises(BadHeader):
        address_header("Anna", address)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "a@b.c"),
        ("Anna May", "Anna May <a@b.c>"),
        ("May, Anna", '"May, Anna" <a@b.c>'),
        ('An "x" \\', '"An \\"x\\" \\\\" <a@b.c>'),
        ("Änna", "=?utf-8?q?=C3=84nna?= <a@b.c>"),
        ("x\r\nBcc: y@z", '"x Bcc: y@z" <a@b.c>'),
        ("=?utf-8?q?spoof?=", "=?utf-8?q?=3D=3Futf-8=3Fq=3Fspoof=3F=3D?= <a@b.c>"),
    ],
)
def test_names_are_quoted_or_encoded_where_needed(name: str, expected: str) -> None:
    assert address_header(name, "a@b.c") == expected


@given(ANY_TEXT)
def test_a_list_id_never_has_an_encoded_word(name: str) -> None:
    value = list_id_header(name, "list-1.example.com")
    assert value.endswith("<list-1.example.com>")
    assert "=?" not in value
    assert b"List-Id: " in make(more=(("List-Id", value),))
