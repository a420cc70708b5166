"""The search box: operators, quotes, what cannot be read, and what is found."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from email_campaign.local.inbox.query import read_query
from email_campaign.local.inbox.reading import has_attachments, read
from email_campaign.local.inbox.search import find
from email_campaign.local.inbox.server import RunningInbox
from email_campaign.local.inbox.store import Store
from tests.local.inbox.samples import SAMPLES
from tests.local.inbox.test_mail import make_mail
from tests.local.inbox.test_reading import RELATED

THREE_ALTERNATIVES = (
    b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"
    b"--b\r\nContent-Type: text/html\r\n\r\ny\r\n--b\r\nContent-Type: text/calendar\r\n\r\nz\r\n--b--\r\n"
)
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def store() -> Store:
    """Three mails, an hour apart from noon on; the newest was read."""
    hours: Iterator[datetime] = iter([NOON, NOON + timedelta(hours=1), NOON + timedelta(hours=2)])
    store = Store(100, 1_000_000, "mailhog.example", lambda: next(hours))
    store.add("x", "shop@a.example", ["ada@x.example"], b"From: Shop\r\nSubject: Welcome back\r\n\r\nSpring seeds")
    store.add("x", "shop@b.example", ["bob@x.example"], SAMPLES["attachment"].data.encode())
    newest = store.add("x", "", ["eve@y.example"], SAMPLES["encoded-words"].data.encode())
    store.mark(newest.id, is_read=True)
    return store


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["eve", "bob", "ada"]),
        ("to:ada", ["ada"]),
        ("TO:X.EXAMPLE", ["bob", "ada"]),
        ("from:nobody", []),
        ("from:shop@", ["bob", "ada"]),
        ("from:jörg", ["eve"]),
        ("subject:日本", ["eve"]),
        ('subject:"welcome back"', ["ada"]),
        ('subject:"back welcome"', []),
        ("subject:back subject:welcome", ["ada"]),
        ("has:attachment", ["bob"]),
        ("is:read", ["eve"]),
        ("is:unread to:x.example has:attachment", ["bob"]),
        ("after:2026-03-04", ["eve", "bob", "ada"]),
        ("after:2026-03-04T13:00", ["eve", "bob"]),
        ("before:2026-03-04T13:00", ["ada"]),
        ("before:2026-03-04", []),
        ("seeds spring", ["ada"]),
        ('"seeds spring"', []),
        ('"spring seeds"', ["ada"]),
        ("Content-Type: bob", ["bob"]),
        ("cc:nobody", []),
    ],
)
def test_every_term_has_to_match(text: str, found: list[str], store: Store) -> None:
    query = read_query(text)
    assert not query.problems
    assert [mail.recipients[0].partition("@")[0] for mail in find(store, query)] == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("before:yesterday", "“before:yesterday” is no date. Write before:2026-03-04 or"),
        ("after:2026-02-30", "is no date"),
        ("after:2026-03-04T25:00", "is no date"),
        ("has:image", "“has:image” is not known. Write has:attachment."),
        ("is:new", "Write is:unread or is:read."),
        ("to: ada", "“to:” has no value. Write to:ada, without a blank after the colon."),
        ('subject:"', "not closed"),
        ('subject:"welcome back', "The quote before “welcome back” is not closed."),
        ("x " * 21, "at most 20 terms; this one has 21"),
        ("x" * 1_001, "at most 1,000 characters"),
    ],
)
def test_what_cannot_be_read_is_said_and_nothing_is_searched(text: str, message: str) -> None:
    query = read_query(text)
    assert message in " ".join(query.problems)
    assert query.terms == ()


def test_several_problems_are_told_at_once() -> None:
    assert len(read_query("before:x after:y has:z word").problems) == 3


def test_a_name_that_is_no_operator_is_plain_text_and_noticed() -> None:
    query = read_query("cc:anna http://x.example/y 12:30 Re: hello")
    assert [term.value for term in query.terms] == ["cc:anna", "http://x.example/y", "12:30", "re:", "hello"]
    assert query.strangers == ("cc",)


@settings(max_examples=30)
@given(st.text(max_size=100) | st.text(alphabet='to:from"subject: hasbefore2026-T\\', max_size=60))
def test_any_text_is_read_or_explained(text: str) -> None:
    query = read_query(text)
    assert not (query.terms and query.problems)
    assert all(term.value for term in query.terms)


@pytest.mark.parametrize(
    "raw",
    [
        *(sample.data.encode() for sample in SAMPLES.values()),
        RELATED,
        b"",
        b"no headers",
        b"Content-Type: text/html; name=x.html\r\n\r\nx",
        b"Content-Type: text/csv\r\n\r\nx",
        b'Content-Type: multipart/alternative;\r\n boundary="b"\r\n\r\n--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\n',
        THREE_ALTERNATIVES,
    ],
)
def test_the_glance_at_a_mail_agrees_with_taking_it_apart(raw: bytes) -> None:
    mail = make_mail(raw)
    assert has_attachments(mail) == bool(read(mail).attachments)


def test_the_page_explains_a_search_that_it_cannot_read(web: httpx.Client, inbox: RunningInbox) -> None:
    page = web.get("/", params={"q": 'before:soon subject:"x'})
    assert page.status_code == 400
    assert "This search cannot be read" in page.text
    assert "“before:soon” is no date." in page.text
    assert "is not closed" in page.text
    assert 'value="before:soon subject:&#34;x"' in page.text
    assert "“cc:” is no operator" in web.get("/?q=cc:anna").text
