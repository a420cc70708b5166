"""An event loop in a thread of its own, for servers that tests talk to from outside."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

import uvloop

T = TypeVar("T")


class LoopThread:
    """Calls from the test's thread into the loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine in the loop and give back its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def call(self, act: Callable[[], T]) -> T:
        """Run the function in the loop and give back its result."""

        async def acting() -> T:
            return act()

        return self.wait_for(acting())


def reset(transport: asyncio.BaseTransport) -> None:
    """Close the connection with a TCP reset, as a crash does; a plain abort() says goodbye politely."""
    with suppress(OSError):  # closed by the other side meanwhile
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    cast("asyncio.WriteTransport", transport).abort()


@contextmanager
def running_loop() -> Iterator[LoopThread]:
    """A loop that runs until the block ends."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield LoopThread(loop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
