"""A bare SMTP client for tests: sends exactly these bytes, and reads replies."""

import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self


class Wire:
    """One connection to an SMTP server on this machine."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection((host, port), timeout=10)
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lines.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def reply(self) -> list[str]:
        """The lines of one reply; empty when the server has closed."""
        lines: list[str] = []
        while line := self._lines.readline().decode():
            lines.append(line.removesuffix("\r\n"))
            if line[3:4] != "-":
                break
        return lines

    def say(self, line: str) -> str:
        """Send one line; the last line of its reply."""
        self.send(line.encode() + b"\r\n")
        return self.reply()[-1]

    def codes(self, *lines: str) -> list[int]:
        """The reply codes to these lines, sent one by one."""
        return [int(self.say(line)[:3]) for line in lines]


def deliver(
    port: int,
    data: bytes,
    sender: str = "sender@from.example",
    recipients: Sequence[str] = ("rcpt@to.example",),
    helo: str = "client.example",
) -> str:
    """Hand one mail over, whose last line gets its CRLF here; the id that the server gave it."""
    with Wire(port) as wire:
        wire.reply()
        wire.say(f"EHLO {helo}")
        wire.say(f"MAIL FROM:<{sender}>")
        for recipient in recipients:
            wire.say(f"RCPT TO:<{recipient}>")
        wire.say("DATA")
        wire.send(data + b"\r\n.\r\n")
        accepted = wire.reply()[-1]
        assert accepted.startswith("250 Ok: queued as ")
        wire.say("QUIT")
        return accepted.removeprefix("250 Ok: queued as ")
