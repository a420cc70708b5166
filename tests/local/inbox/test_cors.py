"""CORS: MailHog's headers for the origin of the settings, and what pages of other sites may do."""

import base64
import socket
from collections.abc import Iterator

import httpx
import pytest
from pydantic import ValidationError

from email_campaign.local.inbox.server import Options, RunningInbox, running_inbox
from email_campaign.settings import Settings

ORIGIN = "http://app.example:3000"
OTHER = "http://elsewhere.example"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0 Safari/537.36"
V1_PATHS = [
    "messages",
    "messages/unknown",
    "messages/unknown/download",
    "messages/unknown/mime/part/0/download",
    "messages/unknown/release",
    "events",
]
PATHS = [
    *(f"/api/v1/{path}" for path in V1_PATHS),
    *(f"/api/v2/{path}" for path in ("messages", "search", "jim", "outgoing-smtp")),
]


@pytest.fixture(scope="module")
def invited() -> Iterator[RunningInbox]:
    """An inbox that lets the pages of one origin use its API."""
    with running_inbox(Options(cors_origin=ORIGIN)) as running:
        yield running


def cors_of(answer: httpx.Response) -> dict[str, str]:
    return {
        name.removeprefix("access-control-allow-"): value
        for name, value in answer.headers.items()
        if name.startswith("access-control")
    }


def shakes_hands(inbox: RunningInbox, origin: str | None, host: str = "127.0.0.1", **headers: str) -> bool:
    """Whether the websocket opens. Written by hand: a client library has headers of its own."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if origin is not None:
        lines.append(f"Origin: {origin}")
    key = base64.b64encode(bytes(16)).decode()
    head = ["GET /api/v2/websocket HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: keep-alive, Upgrade"]
    request = "\r\n".join([*head, f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *lines, "", ""])
    port = int(inbox.http_url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request.encode())
        status = int(connection.makefile("rb").readline().split()[1])
    assert status in {101, 403}
    return status == 101


@pytest.mark.parametrize("path", PATHS)
def test_options_is_200_and_empty_and_tells_the_origin_of_the_settings(
    path: str, web: httpx.Client, invited: RunningInbox
) -> None:
    asked = {"Origin": OTHER, "Access-Control-Request-Method": "DELETE"}
    plain = web.options(path, headers=asked)
    assert (plain.status_code, plain.content, cors_of(plain)) == (200, b"", {})
    told = httpx.options(invited.http_url + path, headers=asked)
    methods = "OPTIONS,GET,POST,DELETE" if path.startswith("/api/v1") else "OPTIONS,GET,PUT,POST,DELETE"
    assert (told.status_code, told.content) == (200, b"")
    assert cors_of(told) == {"origin": ORIGIN, "methods": methods, "headers": "Content-Type"}


def test_every_answer_of_a_known_route_has_the_origin_errors_too(invited: RunningInbox) -> None:
    wanted = {"origin": ORIGIN, "methods": "OPTIONS,GET,POST,DELETE", "headers": "Content-Type"}
    with httpx.Client(base_url=invited.http_url) as web:
        assert cors_of(web.get("/api/v1/messages")) == wanted
        assert cors_of(web.delete("/api/v1/messages/unknown")) == wanted
        assert cors_of(web.get("/api/v1/messages/unknown/download")) == wanted
        assert cors_of(web.post("/api/v1/messages/unknown/release")) == wanted
        assert cors_of(web.get("/api/v2/search"))["methods"] == "OPTIONS,GET,PUT,POST,DELETE"
        assert cors_of(web.get("/api/v2/jim"))["origin"] == ORIGIN
        for unknown in ("/api/v1/unknown", "/api/v3/messages", "/", "/api/v2/websocket"):
            assert cors_of(web.get(unknown)) == {}
        with web.stream("GET", "/api/v1/events") as events:
            assert cors_of(events) == {"origin": ORIGIN, "methods": "OPTIONS,GET,POST,DELETE"}


@pytest.mark.parametrize(("origin", "status"), [(ORIGIN, 200), (OTHER, 403), ("null", 403), ("", 403)])
def test_the_invited_origin_may_write_by_the_api_and_nobody_on_the_pages(
    origin: str, status: int, invited: RunningInbox
) -> None:
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    assert httpx.delete(invited.http_url + "/api/v1/messages", headers=headers).status_code == status
    assert httpx.post(invited.http_url + "/delete-all", headers=headers).status_code == 403


def test_a_star_invites_every_page_under_our_own_name() -> None:
    with running_inbox(Options(cors_origin="*")) as inbox, httpx.Client(base_url=inbox.http_url) as web:
        answer = web.delete("/api/v1/messages", headers={"Origin": OTHER, "Sec-Fetch-Site": "cross-site"})
        assert (answer.status_code, cors_of(answer)["origin"]) == (200, "*")
        assert shakes_hands(inbox, OTHER, user_agent=CHROME)
        assert web.get("/api/v2/messages", headers={"Host": "evil.example", "Origin": OTHER}).status_code == 403
        assert web.post("/delete-all", headers={"Origin": OTHER}).status_code == 403


def test_a_program_opens_the_websocket_with_any_origin(inbox: RunningInbox) -> None:
    assert shakes_hands(inbox, None)
    assert shakes_hands(inbox, OTHER)
    assert shakes_hands(inbox, OTHER, user_agent="Go-http-client/1.1")
    assert not shakes_hands(inbox, None, host="evil.example")


def test_a_page_opens_the_websocket_at_home_or_where_it_is_invited(inbox: RunningInbox, invited: RunningInbox) -> None:
    assert shakes_hands(inbox, "http://localhost:8025", host="localhost:8025", user_agent=CHROME)
    assert not shakes_hands(inbox, OTHER, user_agent=CHROME)
    assert not shakes_hands(inbox, "http://localhost:3000", user_agent=CHROME)
    assert not shakes_hands(inbox, "null", accept_language="en")
    assert not shakes_hands(inbox, OTHER, sec_fetch_mode="websocket")
    assert shakes_hands(invited, ORIGIN, user_agent=CHROME)
    assert not shakes_hands(invited, OTHER, user_agent=CHROME)


@pytest.mark.parametrize("value", ["app.example", "http://a.example/", "http://a.example http://b.example", "null"])
def test_a_wrong_origin_in_the_settings_is_named(value: str) -> None:
    with pytest.raises(ValidationError, match="inbox_cors_origin"):
        Settings(inbox_cors_origin=value)
