"""What MailHog makes of a mail, where a real one misreads it and ours does not."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from email_campaign.clock import utc_now
from email_campaign.local.inbox.mail import Mail, to_eml, to_json


def make_mail(raw: bytes, sender: str = "a@from.example", recipients: tuple[str, ...] = ("b@to.example",)) -> Mail:
    return Mail(1, "an-id@mailhog.example", "mailhog.example", utc_now(), "client", sender, recipients, raw)


def parts_of(raw: bytes) -> list[dict[str, Any]] | None:
    parts: list[dict[str, Any]] | None = to_json(make_mail(raw))["MIME"]["Parts"]
    return parts


def test_source_routes_are_relays_and_the_first_at_divides() -> None:
    told = to_json(make_mail(b"x", "@one,@two:me@from.example", ("two@at@to.example", "postmaster")))
    assert told["From"] == {"Relays": ["@one", "@two"], "Mailbox": "me", "Domain": "from.example", "Params": ""}
    assert [(to["Mailbox"], to["Domain"]) for to in told["To"]] == [("two", "at@to.example"), ("postmaster", "")]


def test_headers_keep_their_case_and_the_last_duplicate_wins() -> None:
    raw = (
        b"X-Twice: 1\r\nx-twice: 2\r\nX-Twice: 3\r\nReceived: a\r\nFolded: one\r\n  two\r\nmessage-id: <m>\r\n\r\nbody"
    )
    headers = to_json(make_mail(raw))["Content"]["Headers"]
    assert headers["X-Twice"] == ["3"]
    assert headers["x-twice"] == ["2"]
    assert headers["Folded"] == ["one  two"]
    assert headers["Received"][0] == "a"
    assert headers["Received"][1].startswith("from client by mailhog.example (MailHog)\r\n          id an-id@")
    assert "Message-ID" not in headers


def test_a_header_needs_no_blank_and_may_be_empty() -> None:
    headers = to_json(make_mail(b"Subject:x\r\nX-Empty:\r\n folded\r\nnonsense\r\n glued\r\n\r\n"))["Content"][
        "Headers"
    ]
    assert headers["Subject"] == ["x"]
    assert headers["X-Empty"] == [" folded"]


def test_without_an_empty_line_all_is_body() -> None:
    told = to_json(make_mail(b"Subject: x"))
    assert told["Content"]["Body"] == "Subject: x"
    assert set(told["Content"]["Headers"]) == {"Message-ID", "Received", "Return-Path"}
    assert told["Content"]["Size"] == 10


def test_a_boundary_that_begins_like_another_breaks_neither() -> None:
    raw = (
        b'content-type: Multipart/Mixed; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: multipart/alternative; boundary=b=in/\r\n\r\n"
        b"--b=in/\r\n\r\ninner\r\n--b=in/--\r\n--b\r\n\r\nouter\r\n--b--\r\n"
    )
    parts = parts_of(raw)
    assert parts is not None
    assert [part["Body"] for part in parts[1:]] == ["outer", "--"]
    assert [part["Body"] for part in parts[0]["MIME"]["Parts"]] == ["inner", "--"]


def test_a_part_without_headers_keeps_its_first_paragraph() -> None:
    parts = parts_of(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nNote: one\r\n\r\ntwo\r\n--b--")
    assert parts is not None
    assert parts[0]["Body"] == "Note: one\r\n\r\ntwo"


def test_no_boundary_is_no_parts_and_a_lost_one_is_one_part() -> None:
    assert parts_of(b"Content-Type: multipart/mixed\r\n\r\nbody") is None
    parts = parts_of(b"Content-Type: multipart/mixed; boundary=lost\r\n\r\nbody\r\n")
    assert parts == [{"Headers": {}, "Body": "body", "Size": 4, "MIME": None}]


def test_a_download_keeps_every_byte() -> None:
    raw = b"Subject: \xff\r\nX: 1\r\nX: 2\r\n\r\n\xfe\n.\n"
    assert to_eml(make_mail(raw)).endswith(raw)


def test_multiparts_without_end_are_read_in_bounded_depth() -> None:
    layer = b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n'
    raw = b"".join(layer % (number, number) for number in range(5_000))
    assert to_json(make_mail(raw))["MIME"]["Parts"]


@given(st.binary(max_size=400) | st.text(alphabet='-b\r\n:; ="multipar/Content-Type', max_size=400).map(str.encode))
def test_any_bytes_are_told(raw: bytes) -> None:
    mail = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + raw
    assert to_json(make_mail(mail))["Content"]["Size"] == len(mail)
