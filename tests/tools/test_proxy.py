"""The proxy carries bytes until it is told otherwise."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.tools.proxy import Proxy, running_proxy


@contextmanager
def echo_server() -> Iterator[tuple[str, int]]:
    """Sends back what it gets, one thread a connection."""

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[connection], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[:2]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with echo_server() as target, running_proxy(target) as running:
        yield running


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(proxy.address, timeout=5)


def echoed(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    back = b""
    while len(back) < len(data) and (more := client.recv(65_536)):
        back += more
    return back


def test_bytes_are_carried_both_ways(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert echoed(client, b"x" * 300_000) == b"x" * 300_000


def test_all_connections_are_cut_and_new_ones_taken(proxy: Proxy) -> None:
    with connect(proxy) as client:
        echoed(client, b"x")
        proxy.cut_all()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connect(proxy) as client:
        assert echoed(client, b"again") == b"again"


def test_a_stall_carries_nothing_until_it_flows_again(proxy: Proxy) -> None:
    with connect(proxy) as client:
        echoed(client, b"x")
        proxy.stall()
        client.sendall(b"late")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(4)
        proxy.flow()
        client.settimeout(5)
        assert client.recv(4) == b"late"


def test_connections_are_refused_and_taken_again(proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.accept()
    with connect(proxy) as client:
        assert echoed(client, b"x") == b"x"


@pytest.mark.parametrize("direction", ["up", "down"])
def test_it_cuts_when_a_pattern_passes_even_in_pieces(proxy: Proxy, direction: str) -> None:
    proxy.cut_when(b"COMMIT", direction="up" if direction == "up" else "down")
    with connect(proxy) as client:
        assert echoed(client, b"a COM") == b"a COM"
        with pytest.raises(ConnectionResetError):
            echoed(client, b"MIT b")
    assert proxy.cut_count == 1
    with connect(proxy) as client:
        assert echoed(client, b"COMMIT") == b"COMMIT"
