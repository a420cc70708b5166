"""Ports: a taken one moves, unless somebody set it by hand."""

import socket
from collections.abc import Iterator

import pytest

from email_campaign.local.ports import PortsUnavailable, Wish, choose, free_port, is_answering, why_not


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def wish(port: int, *, is_by_hand: bool = False, host: str = "127.0.0.1") -> Wish:
    return Wish(what="the web server", host=host, port=port, setting="WEB_PORT", is_by_hand=is_by_hand)


def test_a_free_port_is_kept() -> None:
    port = free_port()
    assert choose([wish(port)]) == [port]


def test_a_taken_port_moves_to_a_free_one(taken_port: int) -> None:
    [chosen] = choose([wish(taken_port)])
    assert chosen != taken_port
    assert not why_not("127.0.0.1", chosen)


def test_a_taken_port_that_was_set_by_hand_is_named_with_its_setting(taken_port: int) -> None:
    with pytest.raises(PortsUnavailable, match=rf"WEB_PORT={taken_port} \(the web server\): the port is taken"):
        choose([wish(taken_port, is_by_hand=True)])


def test_nobody_gets_a_port_that_another_set_by_hand() -> None:
    port = free_port()
    first, second = choose([wish(port), wish(port, is_by_hand=True)])
    assert second == port != first


def test_one_port_set_by_hand_for_two_is_refused() -> None:
    port = free_port()
    with pytest.raises(PortsUnavailable, match="is wished twice"):
        choose([wish(port, is_by_hand=True), wish(port, is_by_hand=True)])


def test_a_host_that_is_not_ours_is_named() -> None:
    with pytest.raises(PortsUnavailable, match=r"the web server cannot listen on 203\.0\.113\.1"):
        choose([wish(8000, host="203.0.113.1")])


def test_answering_is_seen(taken_port: int) -> None:
    assert is_answering("127.0.0.1", taken_port)
    assert not is_answering("127.0.0.1", free_port())
