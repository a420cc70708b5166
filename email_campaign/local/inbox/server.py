"""The inbox as a running thing: SMTP and HTTP in one event loop, by itself or in a thread for a test."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware

from email_campaign.clock import utc_now
from email_campaign.local.inbox.api import api_routes
from email_campaign.local.inbox.guard import Guard
from email_campaign.local.inbox.jim import JimsChair
from email_campaign.local.inbox.look import Look
from email_campaign.local.inbox.pages import page_routes
from email_campaign.local.inbox.smtp import SmtpSession
from email_campaign.local.inbox.store import Store
from email_campaign.local.inbox.stream import Streams
from email_campaign.local.inbox.trouble import Troubles
from email_campaign.local.inbox.trouble_pages import trouble_routes

_new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
with contextlib.suppress(ImportError):  # uvloop does not exist for Windows
    import uvloop

    _new_event_loop = uvloop.new_event_loop

HOST_NAME = "mailhog.example"
"""What the inbox calls itself in its banner, ids and Received lines: MailHog's own default."""

MAX_FRAME_BYTES = 256
"""What a websocket client may say in one frame; nothing that it says is needed."""

PING_SECONDS = 54.0
FAREWELL_SECONDS = 0.5
"""How long open connections may take to end when the inbox does; uvicorn would complain after a second."""


@dataclass(frozen=True, slots=True)
class Options:
    """Where to listen and how much to keep. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    smtp_port: int = 0
    http_port: int = 0
    keep: int = 10_000
    max_bytes: int = 512 * 1024 * 1024
    cors_origin: str = ""


@dataclass(frozen=True, slots=True)
class RunningInbox:
    """Where a running inbox is reached, and what it holds."""

    smtp_host: str
    smtp_port: int
    http_url: str
    store: Store


class PortTaken(Exception):
    """An address cannot be listened on; the message names the setting that changes it."""


def build_app(
    store: Store, chair: JimsChair, streams: Streams, troubles: Troubles, smtp_address: str, options: Options
) -> Starlette:
    """The HTTP side: API and pages behind the guard. `smtp_address` is what the pages tell people to send to."""
    look = Look(store, chair, troubles, smtp_address)
    api = api_routes(store, chair, streams, options.cors_origin)
    guard = Middleware(Guard, bound_host=options.host, cors_origin=options.cors_origin)
    return Starlette(routes=[*api, *trouble_routes(look), *page_routes(look)], middleware=[guard])


@contextlib.asynccontextmanager
async def open_inbox(options: Options) -> AsyncIterator[RunningInbox]:
    """Serve in the running event loop until the block ends. Raises PortTaken before anything is served."""
    store = Store(options.keep, options.max_bytes, HOST_NAME, utc_now)
    chair = JimsChair()
    troubles = Troubles()
    streams = Streams(store)
    sessions: set[SmtpSession] = set()
    with contextlib.ExitStack() as sockets:
        smtp_socket = sockets.enter_context(_listen(options.host, options.smtp_port, "INBOX_SMTP_PORT"))
        http_socket = sockets.enter_context(_listen(options.host, options.http_port, "INBOX_HTTP_PORT"))
        smtp_port, http_port = smtp_socket.getsockname()[1], http_socket.getsockname()[1]
        name = f"[{options.host}]" if ":" in options.host else options.host
        app = build_app(store, chair, streams, troubles, f"{name}:{smtp_port}", options)
        loop = asyncio.get_running_loop()
        smtp = await loop.create_server(
            lambda: SmtpSession(store, sessions, jim=chair.present, troubles=troubles), sock=smtp_socket
        )
        http = _HttpServer(_http_config(app))
        serving = asyncio.create_task(http.serve(sockets=[http_socket]))
        try:
            yield RunningInbox(options.host, smtp_port, f"http://{name}:{http_port}", store)
        finally:
            smtp.close()
            for session in list(sessions):
                session.abort()
            streams.close()
            http.should_exit = True
            await serving


@contextlib.contextmanager
def running_inbox(options: Options | None = None) -> Iterator[RunningInbox]:
    """An inbox in a thread of its own, on free ports unless the options name some: for tests and benchmarks."""
    started: Future[tuple[RunningInbox, asyncio.AbstractEventLoop]] = Future()
    stop = asyncio.Event()

    async def serve() -> None:
        try:
            async with open_inbox(options or Options()) as inbox:
                started.set_result((inbox, asyncio.get_running_loop()))
                await stop.wait()
        except PortTaken as error:
            started.set_exception(error)

    thread = threading.Thread(target=run, args=(serve(),), name="inbox", daemon=True)
    thread.start()
    inbox, loop = started.result(timeout=10)
    try:
        yield inbox
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def run(main: Coroutine[None, None, None]) -> None:
    """`asyncio.run` on uvloop where it exists: twice the mails a second."""
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        runner.run(main)


class _HttpServer(uvicorn.Server):
    """Signals are the business of whoever opened the inbox; a client that does not read does not hold up its end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().call_later(FAREWELL_SECONDS, self._cut)
        await super().shutdown(sockets)
        # What a closed connection has still to do is done before the event loop ends.
        await asyncio.sleep(0)

    def _cut(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def _http_config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,
        lifespan="off",
        log_level="warning",
        timeout_graceful_shutdown=1,
        server_header=False,
    )


def _listen(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket: who connects before the servers are up waits in its backlog."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise PortTaken(f"Cannot listen on {host}:{port}: {error.strerror}. Set {setting} (or INBOX_HOST).") from error
