"""The streams: every mail once and in order, whoever is slow, and nothing that waits in memory."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from email_campaign.clock import utc_now
from email_campaign.local.inbox.server import Options, RunningInbox, running_inbox
from email_campaign.local.inbox.store import Store
from email_campaign.local.inbox.stream import MAX_LISTENERS
from tests.local.inbox.samples import SAMPLES
from tests.local.inbox.wire import deliver

WEBSOCKET = "/api/v2/websocket"
EVENTS = "/api/v1/events"
KEY = "AAAAAAAAAAAAAAAAAAAAAA=="


def listen(inbox: RunningInbox, **options: Any) -> ClientConnection:
    address = inbox.http_url.replace("http", "ws", 1) + WEBSOCKET
    connection: ClientConnection = connect(address, proxy=None, max_size=None, **options)
    return connection


@contextmanager
def events(web: httpx.Client) -> Iterator[Iterator[str]]:
    with web.stream("GET", EVENTS) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["cache-control"] == "no-cache"
        yield response.iter_lines()


def add(store: Store, count: int, size: int = 10) -> list[str]:
    return [store.add("x", "a@b", ["b@x"], b"Subject: x\r\n\r\n" + b"y" * size).id for _ in range(count)]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_frame_is_the_message_and_an_event_its_json(name: str, inbox: RunningInbox, web: httpx.Client) -> None:
    sample = SAMPLES[name]
    with listen(inbox) as frames, events(web) as lines:
        identity = deliver(inbox.smtp_port, sample.data.encode(), sample.sender, sample.recipients)
        told = frames.recv(timeout=5)
        assert isinstance(told, str)
        assert json.loads(told) == httpx.get(f"{inbox.http_url}/api/v1/messages/{identity}").json()
        assert next(lines) == f"data: {told}"
        assert next(lines) == ""


def test_nothing_is_told_of_old_and_deleted_mails(inbox: RunningInbox) -> None:
    [old] = add(inbox.store, 1)
    with listen(inbox) as frames:
        inbox.store.delete(old)
        inbox.store.delete_all()
        [new] = add(inbox.store, 1)
        assert json.loads(frames.recv(timeout=5))["ID"] == new


def test_many_listeners_all_get_every_mail_in_order(inbox: RunningInbox) -> None:
    ids: list[str] = []
    adding = [threading.Thread(target=lambda: ids.extend(add(inbox.store, 50))) for _ in range(3)]
    with ExitStack() as clients:
        listeners = [clients.enter_context(listen(inbox)) for _ in range(5)]
        for thread in adding:
            thread.start()
        got = [[json.loads(frames.recv(timeout=5))["ID"] for _ in range(150)] for frames in listeners]
    for thread in adding:
        thread.join()
    assert set(got[0]) == set(ids)
    assert got == [[mail.id for mail in inbox.store][::-1]] * 5


def test_who_does_not_read_stops_nobody_and_skips_what_has_made_room() -> None:
    with running_inbox(Options(keep=15)) as inbox, listen(inbox) as quick, listen(inbox, max_queue=1) as slow:
        for _ in range(60):
            [identity] = add(inbox.store, 1, size=500_000)
            assert json.loads(quick.recv(timeout=5))["ID"] == identity
        last = deliver(inbox.smtp_port, b"Subject: last\r\n\r\nx")
        got = [json.loads(slow.recv(timeout=5))["ID"]]
        while got[-1] != last:
            got.append(json.loads(slow.recv(timeout=5))["ID"])
        assert got[-15:] == [mail.id for mail in inbox.store][::-1]
        assert len(got) < 61


def test_a_client_may_talk_a_little(inbox: RunningInbox) -> None:
    with listen(inbox) as frames:
        frames.send("hello")
        frames.send(b"x" * 256)
        [identity] = add(inbox.store, 1)
        assert json.loads(frames.recv(timeout=5))["ID"] == identity
        frames.send("x" * 257)
        with pytest.raises(ConnectionClosed, match="1009"):
            frames.recv(timeout=5)


def test_without_an_upgrade_it_is_400(web: httpx.Client) -> None:
    answer = web.get(WEBSOCKET)
    assert (answer.status_code, answer.text) == (400, "Bad Request\n")
    assert web.head(EVENTS).headers["content-type"] == "text/event-stream"


def test_places_are_bounded_and_given_back(inbox: RunningInbox) -> None:
    host, port = inbox.http_url.removeprefix("http://").split(":")
    request = f"GET {EVENTS} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    with ExitStack() as taken:
        for _ in range(MAX_LISTENERS):
            connection = taken.enter_context(socket.create_connection((host, int(port)), timeout=5))
            connection.sendall(request)
            assert connection.recv(12) == b"HTTP/1.1 200"
        assert httpx.get(inbox.http_url + EVENTS).status_code == 503
        with pytest.raises(InvalidStatus, match="503"):
            listen(inbox)
    deadline = time.monotonic() + 10
    while True:
        try:
            with listen(inbox):
                return
        except InvalidStatus:
            assert time.monotonic() < deadline


def test_listeners_are_sent_home_when_the_inbox_ends() -> None:
    with ExitStack() as clients:
        with running_inbox() as inbox:
            frames = clients.enter_context(listen(inbox))
            web = clients.enter_context(httpx.Client(base_url=inbox.http_url))
            lines = clients.enter_context(events(web))
        assert list(lines) == []
        with pytest.raises(ConnectionClosed, match="1001"):
            frames.recv(timeout=5)


def test_listeners_that_do_not_read_hold_up_no_end(caplog: pytest.LogCaptureFixture) -> None:
    head = "Host: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    asked = (f"GET {EVENTS} HTTP/1.1\r\nHost: 127.0.0.1", f"GET {WEBSOCKET} HTTP/1.1\r\n{head}Sec-WebSocket-Key: {KEY}")
    with ExitStack() as clients:
        with running_inbox() as inbox:
            port = int(inbox.http_url.rsplit(":", 1)[1])
            for lines in asked:
                connection = clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
                connection.sendall(f"{lines}\r\n\r\n".encode())
                assert connection.recv(9) == b"HTTP/1.1 "
            with listen(inbox) as quick:
                for _ in range(30):
                    add(inbox.store, 1, size=500_000)
                    quick.recv(timeout=5)
            started = time.monotonic()
        assert time.monotonic() - started < 5
    assert not caplog.records


def test_the_store_tells_what_came_after_a_mail() -> None:
    store = Store(3, 1_000_000, "mailhog.example", utc_now)
    first = store.get(add(store, 1)[0])
    assert first
    assert store.ids_after(first.number) == []
    ids = add(store, 4)
    assert store.ids_after(first.number) == ids[1:]
    assert store.ids_after(first.number + 3) == ids[3:]
