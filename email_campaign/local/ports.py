"""Ports: which are free, and which to take."""

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass


class PortsUnavailable(Exception):
    """Ports that were set by hand cannot be had. The message names each with its setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A port that somebody would like to listen on; only one set by hand insists."""

    what: str
    host: str
    port: int
    setting: str = ""
    is_by_hand: bool = False


def choose(wishes: Sequence[Wish]) -> list[int]:
    """A free port for each wish, in order: the wished one, or another where nobody insisted on it.

    Raises PortsUnavailable with every wish that insists and cannot be had.
    """
    taken = {wish.port for wish in wishes if wish.is_by_hand}
    chosen, problems = [], []
    for number, wish in enumerate(wishes):
        problem = "is wished twice" if _is_repeated(wishes, number) else why_not(wish.host, wish.port)
        if wish.is_by_hand:
            if problem:
                problems.append(f"{wish.setting}={wish.port} ({wish.what}): the port {problem} on {wish.host}.")
            chosen.append(wish.port)
            continue
        port = wish.port
        try:
            while why_not(wish.host, port) or port in taken:
                port = free_port(wish.host)
        except OSError as error:
            problems.append(f"{wish.what} cannot listen on {wish.host}: {error.strerror}.")
        taken.add(port)
        chosen.append(port)
    if problems:
        raise PortsUnavailable("\n".join([*problems, "Set others; where no port is set, a free one is taken."]))
    return chosen


def why_not(host: str, port: int) -> str:
    """Why no server could listen there now, or nothing. Ports in TIME_WAIT are free, as they are for servers."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is taken"
            return f"cannot be used ({error.strerror})"
    return ""


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on, chosen by the system."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def is_answering(host: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def _is_repeated(wishes: Sequence[Wish], number: int) -> bool:
    return any(earlier.is_by_hand and earlier.port == wishes[number].port for earlier in wishes[:number])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
