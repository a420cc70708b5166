"""Mail as a person reads it: decoded, whole, and never refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_campaign.local.inbox.frame import for_frame
from email_campaign.local.inbox.reading import decode_words, read, summary_of
from tests.local.inbox.samples import SAMPLES
from tests.local.inbox.test_mail import make_mail

RELATED = (
    b"Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n"
    b'<!doctype html><html><HEAD lang="en"><title>x</title></HEAD><img src="cid:logo%40x"><img src=cid:none>\r\n'
    b"--b\r\nContent-Type: image/png\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"AAEC\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("header", "readable"),
    [
        ("=?utf-8?B?5pel5pys6Kqe?= =?utf-8?Q?_caf=C3=A9?=", "日本語 café"),
        ("=?iso-8859-1?Q?Andr=E9?= <cc@to.example>", "André <cc@to.example>"),
        ("folded\r\n  header", "folded header"),
        ("=?no-such-charset?Q?caf=C3=A9?=", "café"),
        ("=?utf-8?B?a?=", "=?utf-8?B?a?="),
        ("raw ü", "raw ü"),
    ],
)
def test_encoded_words_are_readable(header: str, readable: str) -> None:
    assert decode_words(header) == readable


def test_a_list_shows_the_envelope_where_headers_are_missing() -> None:
    summary = summary_of(make_mail(b"nothing else"))
    assert (summary.subject, summary.sender, summary.to) == ("", "a@from.example", "b@to.example")


def test_text_html_and_attachments_are_told_apart() -> None:
    readable = read(make_mail(SAMPLES["attachment"].data.encode()))
    assert readable.text == "See the files."
    assert readable.html is None
    assert [(part.name, part.media_type) for part in readable.attachments][:3] == [
        ("data.bin", "application/octet-stream"),
        ("näme.csv", "text/csv"),
        ("part-3", "image/gif"),
    ]
    assert readable.attachments[0].content == bytes(range(256)) * 3
    assert readable.attachments[1].content == b"a=b;c"


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "shift_jis", "no-such-charset"])
def test_a_body_is_readable_in_any_charset(charset: str) -> None:
    body = "caf\u00e9" if charset != "shift_jis" else "\u65e5\u672c"
    encoded = body.encode("latin-1" if charset == "no-such-charset" else charset)
    raw = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n".encode() + encoded
    assert read(make_mail(raw)).text == body


def test_an_attached_mail_is_one_attachment() -> None:
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        b"Subject: inner\r\n\r\ninner text\r\n--b--\r\n"
    )
    readable = read(make_mail(raw))
    assert readable.text is None
    assert [part.name for part in readable.attachments] == ["attached.eml"]
    assert b"Subject: inner" in readable.attachments[0].content


def test_inline_images_come_from_the_mail_and_links_open_a_tab() -> None:
    html = for_frame(read(make_mail(RELATED)))
    assert '<img src="data:image/png;base64,AAEC">' in html
    assert "<img src=cid:none>" in html
    assert html.startswith('<!doctype html><html><HEAD lang="en"><base target="_blank">')


def test_a_file_name_cannot_leave_its_folder() -> None:
    raw = b'Content-Type: application/x; name="../../etc/passwd\x00"\r\n\r\nx'
    assert read(make_mail(raw)).attachments[0].name == ".._.._etc_passwd_"


def test_a_mail_nested_beyond_reason_is_shown_as_text() -> None:
    layer = b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n'
    readable = read(make_mail(b"".join(layer % (number, number) for number in range(5_000))))
    assert readable.text is not None


@given(
    st.binary(max_size=300)
    | st.text(alphabet="-b\r\n:;=?\"'*%utf8QB multiparContent-TypeDispositionfilename<>", max_size=300).map(str.encode)
)
def test_any_bytes_are_readable(raw: bytes) -> None:
    mail = make_mail(raw + b"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + raw + b"\r\n--b--" + raw)
    summary_of(mail)
    readable = read(mail)
    for_frame(readable).encode()
    assert all(part.name.isprintable() or part.name for part in readable.attachments)
