"""A TCP proxy that cuts, stalls and refuses, to stand between a client and a real server."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from tests.tools.loop_thread import LoopThread, reset, running_loop

Direction = Literal["up", "down"]


class Proxy:
    """A running proxy; `up` is from the client to the server. Every method may be called from the test's thread."""

    def __init__(self, target: tuple[str, int], thread: LoopThread) -> None:
        self.address = ("127.0.0.1", 0)
        self.cut_count = 0
        self.connection_count = 0
        self._target = target
        self._thread = thread
        self._links: set[_Link] = set()
        self._listener: asyncio.Server | None = None
        self._cut_on: tuple[bytes, Direction, int] | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()

    def cut_all(self) -> None:
        """Reset every open connection on both sides. New ones are taken."""
        self._thread.call(self._cut_all)

    def stall(self) -> None:
        """Carry no byte from now on; connections stay open, new ones are taken and stay silent."""
        self._thread.call(self._flowing.clear)

    def flow(self) -> None:
        """Carry bytes again, those that waited first."""
        self._thread.call(self._flowing.set)

    def refuse(self) -> None:
        """Refuse new connections and cut the open ones, as a dead server does."""
        self._thread.call(self._stop_listening)
        self.cut_all()

    def accept(self) -> None:
        """Take connections again, on the same port."""
        self._thread.wait_for(self.listen(self.address[1]))

    def cut_when(self, pattern: bytes, *, direction: Direction, times: int = 1) -> None:
        """Cut the connection when these bytes pass, before they are handed on, so many times. Replaces the last such
        order. A reply that is swallowed this way is one that the server has sent and the client never sees."""

        def order() -> None:
            self._cut_on = (pattern, direction, times)

        self._thread.call(order)

    async def listen(self, port: int = 0) -> None:
        """Bind to loopback; 0 takes any free port."""
        self._listener = await asyncio.start_server(self._carry, "127.0.0.1", port)
        self.address = self._listener.sockets[0].getsockname()[:2]

    async def stop(self) -> None:
        """Close everything."""
        self._stop_listening()
        self._flowing.set()
        tasks = [link.task for link in self._links]
        self._cut_all()
        await asyncio.gather(*tasks, return_exceptions=True)

    def should_cut(self, seen: bytes, direction: Direction) -> bool:
        """Whether the ordered bytes are among those seen; counts the order as carried out once."""
        if self._cut_on is None or self._cut_on[1] != direction or self._cut_on[0] not in seen:
            return False
        pattern, _, times = self._cut_on
        self._cut_on = (pattern, direction, times - 1) if times > 1 else None
        self.cut_count += 1
        return True

    @property
    def longest_pattern(self) -> int:
        """How many bytes back a pattern may have begun."""
        return len(self._cut_on[0]) if self._cut_on else 64

    async def until_flowing(self) -> None:
        """Wait out a stall."""
        await self._flowing.wait()

    def _cut_all(self) -> None:
        for link in list(self._links):
            link.cut()

    def _stop_listening(self) -> None:
        if self._listener:
            self._listener.close()
            self._listener = None

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.connection_count += 1
        link = _Link(self, task, [writer])
        self._links.add(link)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self.until_flowing()
                server_reader, server_writer = await asyncio.open_connection(*self._target)
                link.writers.append(server_writer)
                await link.pump(reader, writer, server_reader, server_writer)
        finally:
            self._links.discard(link)
            link.abort()


@contextmanager
def running_proxy(target: tuple[str, int]) -> Iterator[Proxy]:
    """A proxy to the target in a thread of this process."""
    with running_loop() as thread:
        proxy = thread.call(lambda: Proxy(target, thread))
        thread.wait_for(proxy.listen())
        try:
            yield proxy
        finally:
            thread.wait_for(proxy.stop())


class _Link:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, task: asyncio.Task[None], writers: list[asyncio.StreamWriter]) -> None:
        self.task = task
        self.writers = writers
        self._proxy = proxy

    def cut(self) -> None:
        """Reset both sides."""
        self.abort()
        self.task.cancel()

    def abort(self) -> None:
        """Reset what is still open."""
        for writer in self.writers:
            if not writer.is_closing():
                reset(writer.transport)

    async def pump(
        self,
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        """Carry both ways until one side ends."""
        ways = [
            asyncio.create_task(self._one_way(client_reader, server_writer, "up")),
            asyncio.create_task(self._one_way(server_reader, client_writer, "down")),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        tail = b""
        while data := await reader.read(65_536):
            await self._proxy.until_flowing()
            if self._proxy.should_cut(tail + data, direction):
                self.abort()
                return
            tail = (tail + data)[1 - self._proxy.longest_pattern :]
            writer.write(data)
            await writer.drain()
        # What was read before the end is handed on before the sockets are closed.
        writer.write_eof()
        await writer.drain()
