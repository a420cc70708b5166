"""A sink that thinks for a while before it takes a mail, as far relays do; smtp-sink knows whole seconds only.

    python -m bench.slow_sink PORT DELAY_SECONDS

It offers PIPELINING, and prints a counter as smtp-sink does.
"""

import asyncio
import sys
from typing import cast

import uvloop

BACKLOG = 1024
COUNTER_SECONDS = 0.1
_DOT = b"\r\n.\r\n"


class Conversation(asyncio.Protocol):
    """One connection. While it thinks about a mail, what comes in waits in the buffer."""

    taken = 0

    def __init__(self, delay_seconds: float) -> None:
        self._delay_seconds = delay_seconds
        self._buffer = bytearray()
        self._in_data = False
        self._is_thinking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(b"220 slow-sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        while not self._is_thinking:
            end = self._buffer.find(_DOT if self._in_data else b"\r\n")
            if end < 0:
                return
            if self._in_data:
                del self._buffer[: end + len(_DOT)]
                self._is_thinking = True
                asyncio.get_running_loop().call_later(self._delay_seconds, self._take)
                return
            command = bytes(self._buffer[:4]).upper()
            del self._buffer[: end + 2]
            self._answer(command)

    def _answer(self, command: bytes) -> None:
        if command == b"DATA":
            self._in_data = True
            self._transport.write(b"354 go on\r\n")
        elif command == b"EHLO":
            self._transport.write(b"250-slow-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
        elif command == b"QUIT":
            self._transport.write(b"221 bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 ok\r\n")

    def _take(self) -> None:
        self._in_data = self._is_thinking = False
        Conversation.taken += 1
        if not self._transport.is_closing():
            self._transport.write(b"250 2.0.0 taken\r\n")
            self._go_on()


async def main(port: int, delay_seconds: float) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Conversation(delay_seconds), "127.0.0.1", port, backlog=BACKLOG)
    told = 0
    while True:
        await asyncio.sleep(COUNTER_SECONDS)
        if told != Conversation.taken:
            told = Conversation.taken
            print(f"mesg={told}", end="\r", flush=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2])))
