"""The check list of a mail: what it finds, and that nothing hostile stops it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from email_campaign.local.inbox.check_links import judge, links_of
from email_campaign.local.inbox.checks import Checked, check_mail
from email_campaign.local.inbox.parts import parts_of
from email_campaign.local.inbox.reading import read
from tests.local.inbox.samples import SAMPLES
from tests.local.inbox.test_mail import make_mail
from tests.local.inbox.test_reading import RELATED

HEADERS = {
    "From": "Shop <shop@a.example>",
    "To": "ada@b.example",
    "Date": "Wed, 04 Mar 2026 14:02:10 +0000",
    "Message-ID": "<1@a.example>",
    "Subject": "Spring",
    "MIME-Version": "1.0",
    "List-Unsubscribe": "<https://a.org/u/1>, <mailto:u@a.org>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    "DKIM-Signature": "v=1; h=From:List-Unsubscribe:List-Unsubscribe-Post; b=x",
    "Content-Type": "multipart/alternative; boundary=b",
}
HTML = '<p>Hello <a href="https://a.org/x">Shop</a><img src="https://a.org/i.png" alt=""></p>'


def checked(html: str = HTML, text: str = "Hello", **changed: str | None) -> Checked:
    """The good mail with headers changed (`List_Unsubscribe`) or left out (None)."""
    headers = HEADERS | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)
    body = f"\r\n--b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n--b\r\nContent-Type: text/html\r\n\r\n{html}\r\n--b--"
    mail = make_mail((lines + body).encode())
    return check_mail(mail, read(mail))


def states(result: Checked) -> dict[str, str]:
    return {finding.title: finding.state for finding in result.findings if finding.state != "ok"}


def test_a_good_mail_has_nothing_to_remark() -> None:
    result = checked()
    assert states(result) == {}
    assert (result.count("ok"), result.count("wrong")) == (len(result.findings), 0)


@pytest.mark.parametrize(
    ("changed", "title", "state"),
    [
        ({"List_Unsubscribe": None}, "List-Unsubscribe", "wrong"),
        ({"List_Unsubscribe": None, "List_Unsubscribe_Post": None}, "List-Unsubscribe", "remark"),
        ({"List_Unsubscribe": "https://a.org/u"}, "List-Unsubscribe", "wrong"),
        ({"List_Unsubscribe": "=?utf-8?Q?<https://a.org/u>?="}, "List-Unsubscribe", "wrong"),
        ({"List_Unsubscribe": "<https://a.org/u/\r\n 1>"}, "List-Unsubscribe", "wrong"),
        ({"List_Unsubscribe": "<ftp://a.org/u>"}, "List-Unsubscribe", "wrong"),
        ({"List_Unsubscribe": "<http://a.org/u>"}, "One-click unsubscribe", "wrong"),
        ({"List_Unsubscribe": "<http://127.0.0.1:8000/u>"}, "One-click unsubscribe", "remark"),
        ({"List_Unsubscribe": "<mailto:u@a.org>"}, "One-click unsubscribe", "wrong"),
        ({"List_Unsubscribe_Post": None}, "One-click unsubscribe", "remark"),
        ({"List_Unsubscribe_Post": "One-Click"}, "One-click unsubscribe", "wrong"),
        ({"DKIM_Signature": None}, "Signature of the unsubscribe headers", "remark"),
        ({"DKIM_Signature": "v=1; h=From:Subject; b=x"}, "Signature of the unsubscribe headers", "wrong"),
        ({"From": None}, "From", "wrong"),
        ({"From": "nobody"}, "From", "wrong"),
        ({"Date": None}, "Date", "wrong"),
        ({"Date": "yesterday"}, "Date", "wrong"),
        ({"Message_ID": None}, "Message-ID", "wrong"),
        ({"Message_ID": "1@a.example"}, "Message-ID", "wrong"),
        ({"Subject": ""}, "Subject", "remark"),
        ({"Subject": "Hello {{ name }}"}, "Placeholders", "wrong"),
        ({"MIME_Version": None}, "MIME-Version", "remark"),
        ({"subject": "twice"}, "Single headers", "wrong"),
        ({"X": "café"}, "Characters in headers", "wrong"),
        ({"text": "  "}, "Text part", "remark"),
        ({"html": HTML * 1_300}, "Size", "wrong"),
        ({"html": "x" * 999}, "Line length", "wrong"),
        ({"text": "a\nb"}, "Line ends", "wrong"),
        ({"html": "Hello *|FNAME|*"}, "Placeholders", "wrong"),
        ({"html": "<form></form>"}, "Active parts", "wrong"),
        ({"html": "<a href='#'>x</a>"}, "Links", "wrong"),
        ({"html": "<a href='http://a.org'>x</a>"}, "Links", "remark"),
        ({"html": "<img src='https://a.org/i.png'>"}, "Text for images", "remark"),
        ({"html": "<img alt='' src='cid:none'>"}, "Images", "wrong"),
    ],
)
def test_each_fault_is_found_told_and_mended(changed: dict[str, str | None], title: str, state: str) -> None:
    result = checked(**changed)  # type: ignore[arg-type]  # html and text are among the headers' names
    assert states(result)[title] == state
    for finding in result.findings:
        assert finding.found.endswith((".", "…", "”")) or finding.state == "ok"
        assert bool(finding.why and finding.mend) == (finding.state != "ok")
    assert result.findings[0].state in {"wrong", "remark"}


@pytest.mark.parametrize(
    ("url", "state", "words"),
    [
        ("https://a.org/x", "ok", "https"),
        ("mailto:a@b", "ok", "mailto"),
        ("#top", "ok", "a place in the mail"),
        ("http://a.org", "remark", "not encrypted"),
        ("http://localhost:8000/u", "remark", "nobody else can open it"),
        ("https://10.0.0.7/", "remark", "nobody else can open it"),
        ("https://[::1]/", "remark", "nobody else can open it"),
        ("https://example.com/", "remark", "reserved for examples"),
        ("", "wrong", "leads nowhere"),
        ("#", "wrong", "leads nowhere"),
        ("https://", "wrong", "no host"),
        ("https://[nonsense", "wrong", "no host"),
        ("https://a.org/{{ token }}", "wrong", "placeholder"),
        ("/u/1", "wrong", "relative"),
        ("//a.org/u", "wrong", "relative"),
        ("javascript:alert(1)", "wrong", "blocked"),
    ],
)
def test_a_link_is_judged_by_its_address(url: str, state: str, words: str) -> None:
    judged, verdict = judge(url)
    assert judged == state
    assert words in verdict


def test_links_and_images_are_listed_with_their_words() -> None:
    html = '<a name="top"></a><a href="https://a.org">Our <b>shop</b> <img src="cid:l" alt="logo"></a> <a>x</a>'
    html += '<img src="">'
    found = [(link.kind, link.url, link.words, link.state) for link in links_of(html, frozenset({"l"}))]
    assert found == [
        ("link", "https://a.org", "Our shop logo", "ok"),
        ("image", "cid:l", "logo", "ok"),
        ("link", "", "x", "wrong"),
        ("image", "", None, "wrong"),
    ]


def test_the_tree_counts_as_imap_does() -> None:
    parts = parts_of(make_mail(SAMPLES["attachment"].data.encode()))
    assert [(part.section, part.depth, part.media_type) for part in parts][:3] == [
        ("", 0, "multipart/mixed"),
        ("1", 1, "text/plain"),
        ("2", 1, "application/octet-stream"),
    ]
    assert [part.file_name for part in parts][1:4] == ["part-1.txt", "data.bin", "näme.csv"]
    assert [part.section for part in parts_of(make_mail(b"Subject: x\r\n\r\nbody"))] == ["1"]
    assert [part.file_name for part in parts_of(make_mail(RELATED))] == ["part-.bin", "part-1.html", "part-2.png"]


def test_a_mail_of_very_many_parts_is_cut() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 2_000 + b"--b--"
    assert len(parts_of(make_mail(raw))) == 500


@settings(max_examples=40)
@given(
    st.binary(max_size=300)
    | st.text(alphabet="<>a href=\"'{}%*|#:img src=cid/scriptstyle", max_size=300).map(str.encode)
)
def test_any_bytes_can_be_checked(raw: bytes) -> None:
    mail = make_mail(raw + b"\r\nContent-Type: text/html\r\nList-Unsubscribe: " + raw + b"\r\n\r\n" + raw)
    check_mail(mail, read(mail))
    parts_of(mail)
