"""One SMTP connection: aiosmtplib opens, secures and authenticates it, our own protocol speaks envelope and body.

The phase of every failure is known, every reply is taken by the step that it belongs to, and a connection on which
anything unexpected happened is never used again (RFC 5321; the reasons are in docs/architecture.md).
"""

import asyncio
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Self, cast

import aiosmtplib

from email_campaign.delivery.replies import Phase, Reply, parse_reply
from email_campaign.settings import Settings

MAX_REPLY_BYTES = 64 * 1024
QUIT_SECONDS = 2.0
LAST_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that a step may take (RFC 5321 4.5.3.2)."""

    connect: float
    command: float
    final_dot: float


@dataclass(frozen=True, slots=True)
class RelayTarget:
    """Where a relay is and how it is entered."""

    host: str
    port: int
    security: str
    username: str
    password: str
    helo_name: str
    timeouts: Timeouts

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The relay that the settings name."""
        return cls(
            host=settings.smtp_host,
            port=settings.smtp_port,
            security=settings.smtp_security,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value(),
            helo_name=settings.smtp_helo_name or socket.gethostname(),
            timeouts=Timeouts(
                connect=settings.smtp_connect_timeout_seconds,
                command=settings.smtp_command_timeout_seconds,
                final_dot=settings.smtp_final_dot_timeout_seconds,
            ),
        )


class ConnectFailed(Exception):
    """No usable connection. After `credentials_refused` trying again is pointless (RFC 4954: 530, 534, 535, 538)."""

    def __init__(self, message: str, *, credentials_refused: bool = False) -> None:
        super().__init__(message)
        self.credentials_refused = credentials_refused


class Dropped(Exception):
    """The connection ended, or answered out of turn, while `phase` waited. A last 421 is kept as `farewell`."""

    def __init__(self, phase: Phase, message: str, farewell: Reply | None = None) -> None:
        super().__init__(message)
        self.phase = phase
        self.farewell = farewell


@dataclass(frozen=True, slots=True)
class Refusal:
    """The step of the envelope that was refused, and the words."""

    phase: Phase
    reply: Reply


class Connection(asyncio.Protocol):
    """An open connection. One mail at a time: `envelope`, then `body`; `quit` or `abort` at the end."""

    def __init__(self, transport: asyncio.Transport, timeouts: Timeouts) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._timeouts = timeouts
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._waiters: deque[asyncio.Future[Reply]] = deque()
        self._lost: str | None = None
        self._farewell: Reply | None = None
        self._needs_reset = False
        self._in_mail = False
        self.opened_at = self._loop.time()
        self.used_at = self.opened_at
        self.message_count = 0

    @classmethod
    async def open(cls, target: RelayTarget) -> Self:
        """Connect, secure and sign in. Raises ConnectFailed with words for people."""
        client = aiosmtplib.SMTP(
            hostname=target.host,
            port=target.port,
            username=target.username or None,
            password=target.password if target.username else None,
            local_hostname=target.helo_name,
            timeout=target.timeouts.connect,
            use_tls=target.security == "tls",
            start_tls=target.security == "starttls",
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await _greet(client)
        except aiosmtplib.SMTPResponseException as error:
            client.close()
            # A 454 to AUTH is a relay in trouble (RFC 4954 section 6), not one that does not want us.
            is_auth = isinstance(error, aiosmtplib.SMTPAuthenticationError) and error.code >= 500
            refused = is_auth or error.code in {530, 534, 535, 538}
            raise ConnectFailed(f"{error.code} {error.message}", credentials_refused=refused) from error
        except (aiosmtplib.SMTPException, OSError, ssl.SSLError) as error:
            client.close()
            raise ConnectFailed(str(error) or type(error).__name__) from error
        if client.transport is None:
            raise ConnectFailed("The relay closed the connection after its greeting.")
        transport = cast("asyncio.Transport", client.transport)  # uvloop's is no subclass
        connection = cls(transport, target.timeouts)
        transport.set_protocol(connection)
        return connection

    @property
    def is_open(self) -> bool:
        """Whether another mail may be tried on this connection."""
        return self._lost is None and not self._transport.is_closing()

    @property
    def is_between_mails(self) -> bool:
        """Whether the last mail came to its end: a connection left in its midst would take commands for a body."""
        return not self._in_mail

    async def envelope(self, mail_from: str, recipient: str) -> Refusal | None:
        """MAIL, RCPT and DATA, step by step; None after the 354. Raises Dropped.

        After a refusal the next envelope begins with RSET, so that a relay that hangs there cannot swallow this reply.
        """
        self.message_count += 1
        if self._needs_reset:
            await self._command(Phase.CONNECT, b"RSET\r\n")
            self._needs_reset = False
        self._in_mail = True
        steps = (
            (Phase.MAIL, b"MAIL FROM:<%b>\r\n" % mail_from.encode(), 2),
            (Phase.RCPT, b"RCPT TO:<%b>\r\n" % recipient.encode(), 2),
            (Phase.DATA, b"DATA\r\n", 3),
        )
        for phase, line, wanted in steps:
            reply = await self._command(phase, line)
            if reply.code // 100 != wanted:
                self._needs_reset = True
                self._in_mail = False
                return Refusal(phase, reply)
        return None

    async def body(self, message: bytes) -> Reply:
        """Hand over the message (CRLF lines, not yet dot-stuffed) and return the reply to the final dot.

        Raises Dropped: then nobody can say whether the relay took it.
        """
        reply = await self._command(Phase.BODY, dot_stuff(message), self._timeouts.final_dot)
        self._in_mail = False
        if self._transport.get_write_buffer_size():
            self.abort("the relay answered before it had the whole message")  # it may answer the dot once more
        return reply

    async def quit(self) -> None:
        """Say good-bye and close; a relay that does not answer is not waited for."""
        if self.is_open:
            try:
                async with asyncio.timeout(QUIT_SECONDS):
                    await self._command(Phase.CONNECT, b"QUIT\r\n")
            except (Dropped, TimeoutError):
                pass
        self.abort("closed by us")

    def abort(self, why: str) -> None:
        """Close at once, without a word: what was begun does not go out."""
        self._lose(why)
        self._transport.abort()

    async def _command(self, phase: Phase, line: bytes, seconds: float | None = None) -> Reply:
        if not self.is_open:
            raise Dropped(phase, self._lost or "connection closed", self._farewell)
        waiter: asyncio.Future[Reply] = self._loop.create_future()
        self._waiters.append(waiter)
        seconds = seconds or self._timeouts.command
        timer = self._loop.call_later(seconds, self._look_once_more, waiter, f"no answer within {seconds:g} s")
        self._transport.write(line)
        try:
            return await waiter
        except ConnectionError as error:
            raise Dropped(phase, str(error), self._farewell) from None
        except asyncio.CancelledError:
            # The reply would be taken for the next command's: such a connection is over.
            self.abort("cancelled")
            raise
        finally:
            timer.cancel()
            self.used_at = self._loop.time()

    def _look_once_more(self, waiter: "asyncio.Future[Reply]", why: str) -> None:
        # A process that was stopped meets its timers before the replies that came meanwhile: those still count.
        self._loop.call_later(LAST_LOOK_SECONDS, lambda: None if waiter.done() else self.abort(why))

    def data_received(self, data: bytes) -> None:
        """Cut the stream into replies; each goes to the step that waits for it."""
        self._buffer += data
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = rest
        if len(rest) > MAX_REPLY_BYTES or len(self._lines) > 1000:
            self.abort("the relay's reply does not end")
            return
        for line in lines:
            self._lines.append(bytes(line.rstrip(b"\r")))
            if line[3:4] != b"-":
                reply = parse_reply(self._lines)
                self._lines = []
                self._take(reply)

    def _take(self, reply: Reply) -> None:
        if self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(reply)
        else:
            # Nothing was asked: a 421 before it hangs up, or a relay that is out of step. Neither can be used again,
            # and a stray 250 must never be taken for an answer.
            if reply.code == 421:
                self._farewell = reply
            self.abort(f"the relay said {reply.code} {reply.text} unasked")

    def eof_received(self) -> bool:
        """The relay hung up."""
        self._lose("the relay closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone; whoever waits is told."""
        self._lose(f"connection lost: {exc}" if exc else "the relay closed the connection")

    def _lose(self, why: str) -> None:
        if self._lost is None:
            self._lost = why
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(ConnectionError(self._lost))


def dot_stuff(message: bytes) -> bytes:
    """The message as it goes over the wire, with the final dot (RFC 5321 4.5.2). Lines end in CRLF already."""
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n")


async def _greet(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()
