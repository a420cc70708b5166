"""The API against what a real MailHog answered, key for key."""

import hashlib
import re
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from email_campaign.local.inbox.downloads import sniffed
from email_campaign.local.inbox.server import RunningInbox
from tests.local.inbox.samples import SAMPLES
from tests.local.inbox.wire import Wire, deliver

RFC1123Z = r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"
PART_HEADERS = ("content-disposition", "content-id", "content-transfer-encoding", "content-type")


def normalised(value: Any, ids: dict[str, str]) -> Any:
    """What varies from mail to mail, written as in recorded.json."""
    if isinstance(value, dict):
        return {key: normalised(item, ids) for key, item in value.items()}
    if isinstance(value, list):
        return [normalised(item, ids) for item in value]
    if not isinstance(value, str):
        return value
    for name, identity in ids.items():
        value = value.replace(identity, f"{{{name}}}")
    value = value.replace("mailhog.example", "{host}")
    value = re.sub(rf"(?<=; ){RFC1123Z}", "{rfc1123z}", value)
    return re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$", "{rfc3339}", value)


def same(actual: Any, expected: Any) -> bool:
    """Equal, where the recording keeps of long texts only length, beginning and digest."""
    if isinstance(expected, dict) and set(expected) == {"chars", "head", "sha256"}:
        digest = hashlib.sha256(actual.encode()).hexdigest()[:16]
        return (len(actual), actual[:60], digest) == (expected["chars"], expected["head"], expected["sha256"])
    if isinstance(expected, dict):
        return list(actual) == list(expected) and all(same(actual[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(actual) == len(expected) and all(map(same, actual, expected))
    return bool(actual == expected)


def in_mailhogs_order(message: dict[str, Any]) -> dict[str, Any]:
    """The recording is sorted by key, so ours is for comparing."""
    return {
        key: in_mailhogs_order(value) if isinstance(value, dict) else _ordered(value)
        for key, value in sorted(message.items())
    }


def _ordered(value: Any) -> Any:
    return (
        [in_mailhogs_order(item) if isinstance(item, dict) else item for item in value]
        if isinstance(value, list)
        else value
    )


def deliver_sample(inbox: RunningInbox, name: str) -> str:
    sample = SAMPLES[name]
    return deliver(inbox.smtp_port, sample.data.encode(), sample.sender, sample.recipients)


def names_of(answer: dict[str, Any]) -> list[str]:
    return [item["Content"]["Headers"]["Subject"][0] for item in answer["items"]]


def assert_lists_like(response: httpx.Response, expected: dict[str, Any]) -> None:
    assert (response.status_code, response.headers["content-type"]) == (expected["status"], expected["type"])
    answer = response.json()
    assert sorted(answer) == expected["keys"]
    assert (answer["count"], answer["start"], answer["total"]) == (
        expected["count"],
        expected["start"],
        expected["total"],
    )
    names = names_of(answer)
    if isinstance(expected["items"], dict):
        assert (names[0], len(names)) == (expected["items"]["first"], expected["items"]["items"])
    else:
        assert names == expected["items"]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_mail_is_told_as_mailhog_tells_it(
    name: str, inbox: RunningInbox, web: httpx.Client, recorded: dict[str, Any]
) -> None:
    identity = deliver_sample(inbox, name)
    expected = recorded[f"mail.{name}.json"]
    response = web.get(f"/api/v1/messages/{identity}")
    assert (response.status_code, response.headers["content-type"]) == (expected["status"], expected["type"])
    told = in_mailhogs_order(normalised(response.json(), {name: identity}))
    assert same(told, in_mailhogs_order(expected["body"])), told
    assert web.get("/api/v1/messages").json() == [response.json()]
    assert web.get("/api/v2/messages").json()["items"] == [response.json()]
    assert web.get("/api/v2/search?kind=containing&query=mailhog").json()["items"] == [response.json()]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_conversation_has_mailhogs_codes(name: str, wire: Wire, recorded: dict[str, Any]) -> None:
    sample = SAMPLES[name]
    codes: list[Any] = [220, *wire.codes("EHLO client.example", f"MAIL FROM:<{sample.sender}>")]
    codes.append(wire.codes(*(f"RCPT TO:<{recipient}>" for recipient in sample.recipients)))
    codes += wire.codes("DATA", sample.data + "\r\n.", "QUIT")
    assert codes == recorded[f"mail.{name}.smtp"]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_download_has_the_headers_and_the_body(
    name: str, inbox: RunningInbox, web: httpx.Client, recorded: dict[str, Any]
) -> None:
    identity = deliver_sample(inbox, name)
    expected = recorded[f"mail.{name}.download"]
    response = web.get(f"/api/v1/messages/{quote(identity, safe='')}/download")
    head, _, body = response.content.decode().partition("\r\n\r\n")
    assert response.headers["content-type"] == expected["type"]
    assert normalised(response.headers["content-disposition"], {name: identity}) == expected["disposition"]
    assert sorted(normalised(head.split("\r\n"), {name: identity})) == expected["headers"]
    assert same(body, expected["body"])


def recorded_parts() -> list[tuple[str, int]]:
    return [("alternative", number) for number in range(3)] + [("attachment", number) for number in range(8)]


@pytest.mark.parametrize(("name", "number"), recorded_parts())
def test_a_part_is_downloaded_with_its_own_headers(
    name: str, number: int, inbox: RunningInbox, web: httpx.Client, recorded: dict[str, Any]
) -> None:
    identity = deliver_sample(inbox, name)
    expected = recorded[f"mail.{name}.part-{number}"]
    response = web.get(f"/api/v1/messages/{identity}/mime/part/{number}/download")
    told = [[key, response.headers.get(key)] for key in PART_HEADERS if key in response.headers]
    raw_disposition = dict(response.headers.raw)[b"content-disposition"].decode()
    told[0][1] = normalised(raw_disposition, {name: identity})
    assert response.status_code == expected["status"]
    assert told == expected["headers"]
    assert len(response.content) == expected["bytes"]
    assert hashlib.sha256(response.content).hexdigest()[:16] == expected["sha256"]


def test_lists_honour_start_and_limit_as_mailhog_does(
    inbox: RunningInbox, web: httpx.Client, recorded: dict[str, Any]
) -> None:
    assert web.get("/api/v1/messages").json() == recorded["list.empty /api/v1/messages"]["body"]
    for number in range(60):
        deliver(inbox.smtp_port, f"Subject: m{number}\r\n\r\nbody {number % 2}".encode(), sender="a@f.example")
    for title, expected in recorded.items():
        kind, _, query = title.partition(" ")
        if kind == "list.v2":
            assert_lists_like(web.get(f"/api/v2/messages{query}"), expected)
        elif kind == "list.search":
            assert_lists_like(web.get(f"/api/v2/search{query}"), expected)
    assert web.get("/api/v2/messages?start=%2B5&limit=007").json()["count"] == 7
    assert web.get("/api/v2/messages?start=60").json()["items"] == []
    largest = 2**63 - 1
    for path in ("messages?", "search?kind=from&query=f.example&"):
        answer = web.get(f"/api/v2/{path}start={largest}&limit={largest}").json()
        assert answer == {"total": 60, "count": 0, "start": largest, "items": []}


def test_a_refused_search_is_400_without_a_body(
    inbox: RunningInbox, web: httpx.Client, recorded: dict[str, Any]
) -> None:
    refused = {title: expected for title, expected in recorded.items() if title.startswith("search.refused")}
    assert refused
    for title, expected in refused.items():
        response = web.get("/api/v2/search" + title.removeprefix("search.refused "))
        assert (response.status_code, response.headers.get("content-type")) == (expected["status"], expected["type"])
        assert response.status_code == 200 or response.content == b""


@pytest.mark.parametrize(
    ("kind", "query", "found"),
    [
        ("from", "SENDER@FROM.EXAMPLE", set(SAMPLES)),
        ("from", "jörg", set()),
        ("from", "sénder", {"utf8-address"}),
        ("from", "nowhere", set()),
        ("to", "cc@to.example", {"encoded-words"}),
        ("to", "Comma, Inc", {"encoded-words"}),
        ("to", "5pel5pys", {"encoded-words"}),
        ("containing", "needle-qp caf", {"quoted-printable"}),
        ("containing", "=C3=A9", {"encoded-words", "quoted-printable"}),
        ("containing", "data.bin", {"attachment"}),
        ("containing", "boundary", {"attachment", "alternative"}),
        ("containing", "NÄME", {"attachment"}),
        ("containing", "cc@to.example", {"encoded-words"}),
        ("containing", "ünï", set()),
        ("containing", "%", set()),
    ],
)  # fmt: skip
def test_a_search_finds_what_mailhog_finds(
    kind: str, query: str, found: set[str], inbox: RunningInbox, web: httpx.Client
) -> None:
    ids = {deliver_sample(inbox, name): name for name in SAMPLES}
    answer = web.get("/api/v2/search", params={"kind": kind, "query": query}).json()
    assert {ids[item["ID"]] for item in answer["items"]} == found
    assert answer["total"] == answer["count"] == len(found)


def test_deleting_goes_as_mailhog_does_it(inbox: RunningInbox, web: httpx.Client, recorded: dict[str, Any]) -> None:
    ids = [deliver(inbox.smtp_port, f"Subject: d{number}\r\n\r\nx".encode()) for number in range(6)]
    deleted = web.delete(f"/api/v1/messages/{ids[2]}")
    assert (deleted.status_code, deleted.text, deleted.headers["content-type"]) == (200, "", "text/json")
    assert_lists_like(web.get("/api/v2/messages"), recorded["delete.one leaves"])
    missing = web.get(f"/api/v1/messages/{ids[2]}")
    assert (missing.status_code, missing.text, missing.headers["content-type"]) == (200, "null", "text/json")
    twice = web.delete(f"/api/v1/messages/{ids[2]}")
    assert (twice.status_code, twice.text) == (recorded["delete.twice"]["status"], "")
    assert twice.headers["content-type"] == "text/json"
    assert web.delete("/api/v1/messages/unknown").status_code == recorded["delete.unknown"]["status"]
    assert web.delete(f"/api/v1/messages/{ids[5]}").status_code == 200
    assert web.delete(f"/api/v1/messages/{ids[0]}").status_code == 200
    assert_lists_like(web.get("/api/v2/messages"), recorded["delete.leaves"])
    for _ in range(2):
        everything = web.delete("/api/v1/messages")
        assert (everything.status_code, everything.text, everything.headers["content-type"]) == (200, "", "text/json")
        assert_lists_like(web.get("/api/v2/messages"), recorded["delete.all leaves"])


def test_a_missing_mail_or_part_is_404_with_a_sentence(inbox: RunningInbox, web: httpx.Client) -> None:
    plain = deliver_sample(inbox, "plain")
    for path in ("unknown/download", "unknown/mime/part/0/download", f"{plain}/mime/part/0/download"):
        response = web.get(f"/api/v1/messages/{path}")
        assert response.status_code == 404
        assert response.text.endswith(".\n")


PART = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{}\r\n\r\n{}\r\n--b--"


def test_a_parts_headers_become_headers_of_the_answer(inbox: RunningInbox, web: httpx.Client) -> None:
    headers = (
        "Content-MD5: Q2hlY2s=\r\nContent-Location: here\r\nX-Attachment-Id: f_1\r\nMIME-Version: 1.0\r\n"
        "Content-Disposition: inline;\r\n filename=a.txt\r\nSubject: caf\u00e9"
    )
    identity = deliver(inbox.smtp_port, PART.format(headers, "text").encode())
    response = web.get(f"/api/v1/messages/{identity}/mime/part/0/download")
    told = {name.decode(): value.decode() for name, value in response.headers.raw}
    wanted = {"content-md5": "Q2hlY2s=", "content-location": "here", "x-attachment-id": "f_1", "mime-version": "1.0"}
    assert wanted.items() <= told.items()
    assert told["content-disposition"] == "inline; filename=a.txt"
    assert told["subject"] == "caf\u00e9"


def test_a_part_cannot_act_on_a_browser_or_a_proxy(inbox: RunningInbox, web: httpx.Client) -> None:
    hostile = (
        "Content-Type: text/html\r\nSet-Cookie: a=b\r\nLocation: http://evil.example\r\nContent-Length: 1\r\n"
        "Content-Encoding: gzip\r\nX-Accel-Redirect: /etc/passwd\r\nRefresh: 0;url=http://evil.example\r\n"
        "Content-Security-Policy: default-src *\r\nAccess-Control-Allow-Origin: *\r\nContent-Disposition: inline"
    )
    identity = deliver(inbox.smtp_port, PART.format(hostile, "<script>alert(1)</script>").encode())
    response = web.get(f"/api/v1/messages/{identity}/mime/part/0/download")
    assert response.text == "<script>alert(1)</script>"
    assert response.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    forbidden = {"set-cookie", "location", "content-encoding", "x-accel-redirect", "refresh"}
    assert not forbidden & set(response.headers)
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "text/plain; charset=utf-8"),
        (b"gr\xfc\xdfe", "text/plain; charset=utf-8"),
        (b"a\x00b", "application/octet-stream"),
        (b"  <!DOCTYPE html><p>", "text/html; charset=utf-8"),
        (b"<p>x", "text/html; charset=utf-8"),
        (b"<pre>x", "text/plain; charset=utf-8"),
        (b"<?xml version='1.0'?>", "text/xml; charset=utf-8"),
        (b"%PDF-1.7\n\x00", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n\x00", "image/png"),
        (b"\xff\xd8\xff\xe0\x00", "image/jpeg"),
        (b"GIF89a\x01\x00", "image/gif"),
        (b"x" * 512 + b"\x00", "text/plain; charset=utf-8"),
    ],
)
def test_a_part_without_a_type_gets_the_one_that_go_sees(content: bytes, kind: str) -> None:
    assert sniffed(content) == kind


def test_json_is_written_as_go_writes_it(inbox: RunningInbox, web: httpx.Client) -> None:
    deliver(inbox.smtp_port, "Subject: <b>&\u2028\r\n\r\n\N{GRINNING FACE}".encode())
    text = web.get("/api/v1/messages").content.decode()
    assert r"\u003cb\u003e\u0026\u2028" in text
    assert "\N{GRINNING FACE}" in text
