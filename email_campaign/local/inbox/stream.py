"""Mail as it arrives, for who listens: EventSource (v1) and websocket (v2). There is no queue.

A listener remembers the mail that it was given last and goes on in the store from there, at the speed of its client:
it holds one mail at a time, and SMTP never waits for it. Who is slower than the mail that comes in skips what was
deleted or made room meanwhile, and nothing else; who does not read at all waits on one mail until the client leaves.

Where MailHog garbles or drops events that follow one another at once, ours are whole and in order. An event is one
line of JSON (MailHog: many), a frame has no newline at its end, and a websocket's client may talk, up to 256 bytes.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Self

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from email_campaign.local.inbox.go_json import encode
from email_campaign.local.inbox.mail import Mail, to_json
from email_campaign.local.inbox.store import Store

KEEPALIVE_SECONDS = 60.0
MAX_LISTENERS = 200
MAX_BYTES_AT_ONCE = 64 * 1024
"""A larger mail is put into words by a thread, so that the event loop goes on."""

_EVENT_HEADERS = {"content-type": "text/event-stream", "cache-control": "no-cache"}
_KEEPALIVE = b"keepalive: \n\n"
_GOING_AWAY = 1001


class Streams:
    """The listeners of one inbox. Made and used in its event loop."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.listeners: set[Listener] = set()
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._is_waking = False
        self._latest = (0, b"")
        store.on_arrival = self._arrived

    async def events(self, request: Request) -> Response:
        """GET `/api/v1/events`."""
        if request.method == "HEAD":
            return Response(headers=_EVENT_HEADERS)
        if len(self.listeners) >= MAX_LISTENERS:
            return _full()
        return _EventStream(Listener(self))

    async def websocket(self, socket: WebSocket) -> None:
        """GET `/api/v2/websocket` with an upgrade."""
        if len(self.listeners) >= MAX_LISTENERS:
            await socket.send_denial_response(_full())
            return
        with Listener(self) as listener:
            await socket.accept()
            sending = asyncio.create_task(_send_frames(socket, listener))
            try:
                while (await socket.receive())["type"] != "websocket.disconnect":
                    pass
            finally:
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sending

    async def no_upgrade(self, _: Request) -> Response:
        """GET `/api/v2/websocket` from who does not mean it."""
        return PlainTextResponse("Bad Request\n", 400, headers={"sec-websocket-version": "13"})

    def close(self) -> None:
        """Send the listeners home: the inbox is about to end."""
        self.ended.set()
        self._wake()

    async def text_of(self, mail: Mail) -> bytes:
        """The mail in JSON. Listeners that go abreast share it."""
        number, text = self._latest
        if number == mail.number:
            return text
        if len(mail.raw) > MAX_BYTES_AT_ONCE:
            return await asyncio.to_thread(_encoded, mail)
        text = _encoded(mail)
        self._latest = (mail.number, text)
        return text

    def _arrived(self) -> None:
        """Called by any thread, for every mail: many that come at once wake the listeners once."""
        if self.listeners and not self._is_waking:
            self._is_waking = True
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._is_waking = False
        for listener in self.listeners:
            listener.woken.set()


class Listener:
    """One place at the stream: it hears of every mail that arrives after the place was taken."""

    def __init__(self, streams: Streams) -> None:
        self.woken = asyncio.Event()
        self._streams = streams
        self._last_number = 0

    def __enter__(self) -> Self:
        self._streams.listeners.add(self)
        newest = self._streams.store.newest(limit=1)
        self._last_number = newest[0].number if newest else 0
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._streams.listeners.discard(self)

    async def texts(self) -> AsyncGenerator[bytes | None]:
        """Mails in JSON as they arrive, and None for every minute without one; ends with the inbox."""
        store = self._streams.store
        while not self._streams.ended.is_set():
            self.woken.clear()
            ids = store.ids_after(self._last_number)
            for identity in ids:
                if self._streams.ended.is_set():
                    return
                if mail := store.get(identity):
                    self._last_number = mail.number
                    yield await self._streams.text_of(mail)
                    # A client that is quick enough never makes us wait: the turn of the others must come all the same.
                    await asyncio.sleep(0)
            if not ids:
                try:
                    await asyncio.wait_for(self.woken.wait(), KEEPALIVE_SECONDS)
                except TimeoutError:
                    yield None


class _EventStream(StreamingResponse):
    """The answer takes its place before its headers leave, so that nothing that comes after them is missed."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(_events(listener), headers=_EVENT_HEADERS)
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._listener:
            await super().__call__(scope, receive, send)


async def _events(listener: Listener) -> AsyncGenerator[bytes]:
    async for text in listener.texts():
        yield _KEEPALIVE if text is None else b"data: " + text + b"\n\n"


async def _send_frames(socket: WebSocket, listener: Listener) -> None:
    """Ends when the inbox does, or when the client is gone; a quiet minute needs no word, uvicorn pings."""
    # A RuntimeError is uvicorn's word for a client on whom it has just hung up.
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        async for text in listener.texts():
            if text is not None:
                await socket.send_text(text.decode())
        await socket.close(_GOING_AWAY)


def _encoded(mail: Mail) -> bytes:
    return encode(to_json(mail))


def _full() -> Response:
    return PlainTextResponse("Too many listen already.\n", 503)
