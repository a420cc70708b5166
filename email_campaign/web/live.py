"""Live numbers: one poller a process reads each thing that somebody watches, once for all who watch it.

What is told is state, not history: who comes late, or again, gets the newest numbers, and who is slow misses those
between. So a listener never holds more than one message a topic.
"""

import asyncio
import json
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import FrameType
from typing import Any

from sqlalchemy.orm import Session

from email_campaign.accounts.sessions import live_sessions
from email_campaign.clock import utc_now
from email_campaign.db import DATABASE_AWAY, SessionFactory
from email_campaign.errors import NotFound

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
"""From one reading to the next; longer where reading takes longer, so that it fills half the time at most."""
BEAT_SECONDS = 15.0
"""So often each listener hears that the line is there, unless it was signed out meanwhile."""
RETRY_SECONDS = 3
"""A browser whose stream broke comes back after this."""
MOST_LISTENERS = 500
"""Each keeps a socket of the process open; who comes on top is to poll."""

BEAT = "beat"
AWAY = "away"
"""Said when the database does not answer: what was told before may be out of date."""

Read = Callable[[Session, datetime], Mapping[str, Any]]
"""Reads the numbers of a topic; `done` among them is true when they will not change any more. May raise NotFound."""


class NoRoom(Exception):
    """There are as many listeners as there may be, or the process is stopping."""


class Listener:
    """One open stream: the newest message of each topic that it has not taken yet."""

    def __init__(self, topics: Collection[str], session_id: int) -> None:
        self.topics = set(topics)
        self.session_id = session_id
        self._waiting: dict[str, str] = {}
        self._news = asyncio.Event()
        self._is_over = False

    def tell(self, event: str, data: str = "{}") -> None:
        """Have this said, in place of what was to be said of the same event."""
        self._waiting[event] = f"event: {event}\ndata: {data}\n\n"
        self._news.set()

    def end(self) -> None:
        """Let the stream end after what is still to be said. Safe to repeat."""
        self._is_over = True
        self._news.set()

    async def messages(self) -> AsyncIterator[str]:
        """What goes over the wire, until it ends."""
        yield f"retry: {RETRY_SECONDS * 1000}\n\n"
        while self._waiting or not self._is_over:
            await self._news.wait()
            self._news.clear()
            waiting, self._waiting = self._waiting, {}
            if waiting:
                yield "".join(waiting.values())


@dataclass(slots=True)
class _Topic:
    """Something that somebody watches. `told` is what was said last, empty before it was read."""

    read: Read
    listeners: set[Listener] = field(default_factory=set)
    told: str = ""


class Hub:
    """All listeners of a process, and the poller that runs while there are any. Belongs to one event loop."""

    def __init__(
        self,
        factory: SessionFactory,
        *,
        every_seconds: float = EVERY_SECONDS,
        beat_seconds: float = BEAT_SECONDS,
        most_listeners: int = MOST_LISTENERS,
    ) -> None:
        self._factory = factory
        self._every_seconds = every_seconds
        self._beat_seconds = beat_seconds
        self._most_listeners = most_listeners
        self._topics: dict[str, _Topic] = {}
        self._listeners: set[Listener] = set()
        self._poller: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._is_closed = False

    def join(self, reads: Mapping[str, Read], session_id: int) -> Listener:
        """A listener to these topics for the signed-in session; it must `leave`. Raises NoRoom."""
        if self._is_closed or len(self._listeners) >= self._most_listeners:
            raise NoRoom
        listener = Listener(reads, session_id)
        self._listeners.add(listener)
        for name, read in reads.items():
            topic = self._topics.setdefault(name, _Topic(read))
            topic.listeners.add(listener)
            if topic.told:
                listener.tell(name, topic.told)
        self._wake.set()
        if self._poller is None:
            self._poller = asyncio.get_running_loop().create_task(self._poll())
        return listener

    def leave(self, listener: Listener) -> None:
        """Forget the listener. Safe to repeat."""
        self._listeners.discard(listener)
        for name in listener.topics:
            if topic := self._topics.get(name):
                topic.listeners.discard(listener)
                if not topic.listeners:
                    del self._topics[name]
        listener.topics.clear()
        listener.end()

    def close(self) -> None:
        """End every stream, and take no new one. Safe to repeat."""
        self._is_closed = True
        for listener in list(self._listeners):
            self.leave(listener)
        self._wake.set()

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + self._beat_seconds
        try:
            while self._listeners:
                began = loop.time()
                await self._read(list(self._topics))
                if began >= beat_at:
                    await self._beat()
                    beat_at = began + self._beat_seconds
                await self._pause(began + max(self._every_seconds, 2 * (loop.time() - began)))
        finally:
            self._poller = None

    async def _pause(self, until: float) -> None:
        """Wait for the next reading; what somebody begins to watch meanwhile is read at once."""
        loop = asyncio.get_running_loop()
        while self._listeners and (left := until - loop.time()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()
            if self._wake.is_set():
                await self._read([name for name, topic in self._topics.items() if not topic.told])

    async def _read(self, names: Collection[str]) -> None:
        self._wake.clear()
        if not names:
            return
        try:
            found = await asyncio.to_thread(self._numbers, {name: self._topics[name].read for name in names})
        except DATABASE_AWAY:
            self._say_away()
            return
        for name, numbers in found.items():
            self._tell(name, numbers)

    def _numbers(self, reads: Mapping[str, Read]) -> dict[str, Mapping[str, Any]]:
        """The numbers of each topic, read in a thread and in one transaction; none where reading failed for good."""
        found: dict[str, Mapping[str, Any]] = {}
        with self._factory() as session:
            for name, read in reads.items():
                try:
                    found[name] = read(session, utc_now())
                except NotFound:
                    found[name] = {"done": True}
                except DATABASE_AWAY:
                    raise
                except Exception:
                    log.exception("live numbers of %s cannot be read", name)
                    session.rollback()
                    found[name] = {}
        return found

    def _tell(self, name: str, numbers: Mapping[str, Any]) -> None:
        topic = self._topics.get(name)
        if topic is None:
            return  # everybody left while it was read
        data = json.dumps(numbers, separators=(",", ":"))
        if numbers and data != topic.told:
            topic.told = data
            for listener in topic.listeners:
                listener.tell(name, data)
        if not numbers or numbers.get("done"):
            self._end(name)

    def _end(self, name: str) -> None:
        """Nothing more will be said of this topic; who watches nothing else is let go."""
        for listener in self._topics.pop(name).listeners:
            listener.topics.discard(name)
            if not listener.topics:
                self.leave(listener)

    def _say_away(self) -> None:
        if any(topic.told for topic in self._topics.values()):
            log.warning("live numbers stand still: the database does not answer")
        for topic in self._topics.values():
            topic.told = ""  # what it was is said anew when the database is back
        for listener in self._listeners:
            listener.tell(AWAY)

    async def _beat(self) -> None:
        try:
            live = await asyncio.to_thread(self._live_sessions, {listener.session_id for listener in self._listeners})
        except DATABASE_AWAY:
            return
        for listener in list(self._listeners):
            if listener.session_id in live:
                listener.tell(BEAT)
            else:
                self.leave(listener)

    def _live_sessions(self, ids: Collection[int]) -> Collection[int]:
        with self._factory() as session:
            return live_sessions(session, ids, utc_now())


@contextmanager
def closed_by_signals(hub: Hub) -> Iterator[None]:
    """Close the hub when the process is told to stop.

    uvicorn waits for open answers before it tells the app that it stops, so the app hears of the signal itself.
    """
    loop = asyncio.get_running_loop()
    before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(hub.close)
        before[number](number, frame)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            if callable(handler):
                before[number] = handler
                signal.signal(number, stop)
    try:
        yield
    finally:
        for number_before, handler in before.items():
            signal.signal(number_before, handler)
        hub.close()
