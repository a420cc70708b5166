"""A scripted SMTP server: does what its rules say, and logs what it saw before it answers.

In the test's process: `with running_smtp(Script(...), log_path) as server`. In its own, for speed:
`python -m tests.tools.scripted_smtp --log FILE [--port N] [--script JSON]` prints its port and runs until stdin ends.
"""

import argparse
import asyncio
import hashlib
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from tests.tools.loop_thread import LoopThread, reset, running_loop
from tests.tools.wire_log import WireLog, WireLogWriter

STEPS = ("connect", "ehlo", "auth", "mail", "rcpt", "data", "body", "dot", "rset", "quit")


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do at a step instead of the usual; the first rule that matches wins.

    `reply`: bytes without line end, or several lines joined by CRLF. `delay_seconds` passes before any reply, the
    usual one too. `drop`: hang up with a reset instead of answering (at `body`: at the first byte; at `dot`: after
    the body was taken and logged). `close`: hang up after the reply. `to`: only for this local part or for addresses
    that this says yes to (from RCPT on). `first`: only that many times for each recipient;
    equal rules count together.
    """

    step: str
    reply: bytes | None = None
    delay_seconds: float = 0.0
    drop: bool = False
    close: bool = False
    to: str | Callable[[str], bool] | None = None
    first: int | None = None

    def __post_init__(self) -> None:
        assert self.step in STEPS, self.step

    def is_for(self, recipient: str) -> bool:
        """Whether the rule speaks of this recipient."""
        if callable(self.to):
            return self.to(recipient)
        return self.to is None or recipient.rpartition("@")[0] == self.to


@dataclass(slots=True)
class Script:
    """How the server behaves; fields may be changed while it runs. `auth` offers AUTH PLAIN, which takes anything."""

    rules: list[Rule] = field(default_factory=list)
    pipelining: bool = False
    auth: bool = False
    messages_per_connection: int | None = None
    keep_bodies: bool = True

    @classmethod
    def from_json(cls, text: str) -> "Script":
        """A script without callables, such as `{"pipelining": true, "rules": [{"step": "dot", "reply": "451 no"}]}`."""
        fields = json.loads(text)
        rules = [Rule(**{**rule, "reply": rule.get("reply", "").encode() or None}) for rule in fields.pop("rules", [])]
        return cls(rules=rules, **fields)


class ScriptedServer:
    """A running server. `bodies` holds (recipient, un-dot-stuffed bytes) in the order of their dots."""

    def __init__(self, script: Script, log_path: Path) -> None:
        self.script = script
        self.log = WireLog(log_path)
        self.bodies: list[tuple[str, bytes]] = []
        self.writer = WireLogWriter(log_path)
        self.address = ("127.0.0.1", 0)
        self.connection_count = 0
        self.open_connections: set[_Connection] = set()
        self._met: Counter[tuple[Rule, str]] = Counter()
        self._listener: asyncio.Server | None = None
        self._thread: LoopThread | None = None

    def attach(self, thread: LoopThread) -> None:
        """Let the methods below be called from another thread than the loop's."""
        self._thread = thread

    def refuse(self) -> None:
        """Refuse new connections from now on, as a dead host does; open ones live on."""
        assert self._thread
        self._thread.wait_for(self.stop_listening())

    def accept(self) -> None:
        """Take connections again, on the same port."""
        assert self._thread
        self._thread.wait_for(self.listen(self.address[1]))

    def cut_all(self) -> None:
        """Reset every open connection."""
        assert self._thread
        self._thread.call(self._drop_all)

    async def listen(self, port: int = 0) -> None:
        """Bind to loopback; 0 takes any free port."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: _Connection(self), "127.0.0.1", port, backlog=1024)
        self.address = self._listener.sockets[0].getsockname()[:2]

    async def stop_listening(self) -> None:
        """Close the listening socket."""
        if self._listener:
            self._listener.close()
            await asyncio.sleep(0)
            self._listener = None

    async def stop(self) -> None:
        """Close everything."""
        await self.stop_listening()
        self._drop_all()
        while self.open_connections:  # noqa: ASYNC110  two or three turns of the loop
            await asyncio.sleep(0)
        self.writer.close()

    def rule_for(self, step: str, recipient: str) -> Rule | None:
        """The rule that decides this step, counted as met."""
        for rule in self.script.rules:
            if rule.step == step and rule.is_for(recipient):
                if rule.first is None:
                    return rule
                key = (rule, recipient)
                self._met[key] += 1
                if self._met[key] <= rule.first:
                    return rule
        return None

    def _drop_all(self) -> None:
        for connection in list(self.open_connections):
            connection.drop()


@contextmanager
def running_smtp(script: Script, log_path: Path) -> Iterator[ScriptedServer]:
    """A server in a thread of this process."""
    server = ScriptedServer(script, log_path)
    with running_loop() as thread:
        server.attach(thread)
        thread.wait_for(server.listen())
        try:
            yield server
        finally:
            thread.wait_for(server.stop())


class _Connection(asyncio.Protocol):
    """One client. Input waits in the buffer while an answer is delayed, and while TCP is not taking more."""

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._in_body = self._begun = self._waiting = self._closed = False
        self._sender = self._recipient = ""
        self._message_count = 0
        self._searched = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by type
        self._server.connection_count += 1
        self._number = self._server.connection_count
        self._server.open_connections.add(self)
        self._note("connect")
        self._answer("connect", b"220 scripted ESMTP")
        self._server.writer.flush()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self._server.open_connections.discard(self)
        if not self._closed:
            self._closed = True
            self._note("close")
            self._server.writer.flush()

    def drop(self, step: str = "") -> None:
        """Hang up with a reset."""
        if not self._closed:
            self._closed = True
            self._note("drop", step=step)
            self._server.writer.flush()
        reset(self._transport)

    def _go_on(self) -> None:
        while self._buffer and not self._waiting and not self._closed:
            if not (self._take_body() if self._in_body else self._take_command()):
                break
        if not self._closed:
            self._server.writer.flush()

    def _take_command(self) -> bool:
        line, end, _ = self._buffer.partition(b"\n")
        if not end:
            return False
        del self._buffer[: len(line) + 1]
        verb, _, rest = bytes(line).strip().partition(b" ")
        self._command(verb.upper(), rest)
        return True

    def _command(self, verb: bytes, rest: bytes) -> None:
        if verb == b"MAIL":
            limit = self._server.script.messages_per_connection
            self._sender, self._recipient = _path(rest), ""
            if limit is not None and self._message_count >= limit:
                self._say("mail", b"421 4.7.0 too many messages on this connection", close=True)
            else:
                self._answer("mail", b"250 2.1.0 Ok")
        elif verb == b"RCPT":
            self._recipient = _path(rest)
            self._note("rcpt")
            self._answer("rcpt", b"250 2.1.5 Ok")
        elif verb == b"DATA":
            self._answer("data", b"354 go on" if self._recipient else b"503 5.5.1 RCPT first")
        elif verb in {b"EHLO", b"HELO"}:
            self._answer("ehlo", self._greeting())
        elif verb == b"AUTH":
            self._note("auth")
            self._answer("auth", b"235 2.7.0 welcome")
        elif verb == b"RSET":
            self._sender = self._recipient = ""
            self._answer("rset", b"250 2.0.0 Ok")
        elif verb == b"QUIT":
            self._answer("quit", b"221 2.0.0 Bye", close=True)
        else:
            self._say(verb.decode("latin-1").lower(), b"250 2.0.0 Ok" if verb == b"NOOP" else b"502 5.5.2 what?")

    def _greeting(self) -> bytes:
        words = [b"scripted", b"SIZE 52428800", b"8BITMIME", b"SMTPUTF8", b"ENHANCEDSTATUSCODES"]
        words += [b"PIPELINING"] * self._server.script.pipelining + [b"AUTH PLAIN"] * self._server.script.auth
        return b"".join(b"250-%b\r\n" % word for word in words[:-1]) + b"250 " + words[-1]

    def _take_body(self) -> bool:
        if not self._begun:
            self._begun = True
            self._note("body-begun")
            if (rule := self._server.rule_for("body", self._recipient)) and rule.drop:
                self.drop("body")
                return False
        if self._buffer.startswith(b".\r\n"):
            end, after = 0, 3
        else:
            # The dot's five bytes may have begun in the bytes that were searched before.
            found = self._buffer.find(b"\r\n.\r\n", max(self._searched - 4, 0))
            if found < 0:
                self._searched = len(self._buffer)
                return False
            end, after = found + 2, found + 5
        stuffed = bytes(self._buffer[:end])
        del self._buffer[:after]
        self._in_body = self._begun = False
        self._searched = 0
        self._complete(_unstuffed(stuffed))
        return True

    def _complete(self, body: bytes) -> None:
        head = body.partition(b"\r\n\r\n")[0]
        self._message_count += 1
        self._note(
            "body-complete",
            message_id=_header(_MESSAGE_ID, head),
            delivery=_header(_DELIVERY, head),
            sha256=hashlib.sha256(body).hexdigest(),
            size=len(body),
        )
        if self._server.script.keep_bodies:
            self._server.bodies.append((self._recipient, body))
        self._answer("dot", b"250 2.0.0 taken")

    def _answer(self, step: str, usual: bytes, *, close: bool = False) -> None:
        rule = self._server.rule_for(step, self._recipient)
        if rule is None:
            self._say(step, usual, close=close)
        elif rule.delay_seconds:
            self._waiting = True
            self._server.writer.flush()
            loop = asyncio.get_running_loop()
            loop.call_later(rule.delay_seconds, self._answer_late, step, usual, rule, close)
        else:
            self._obey(step, usual, rule, close=close)

    def _answer_late(self, step: str, usual: bytes, rule: Rule, close: bool) -> None:
        self._waiting = False
        if not self._closed:
            self._obey(step, usual, rule, close=close)
            self._go_on()

    def _obey(self, step: str, usual: bytes, rule: Rule, *, close: bool) -> None:
        if rule.drop:
            self.drop(step)
        else:
            self._say(step, usual if rule.reply is None else rule.reply, close=close or rule.close)

    def _say(self, step: str, reply: bytes, *, close: bool = False) -> None:
        code = int(reply[:3]) if reply[:3].isdigit() else 0
        if step == "dot" or not 200 <= code < 400:
            self._note("reply", step=step, code=code)
        self._server.writer.flush()
        self._in_body = step == "data" and code == 354
        self._transport.write(reply + b"\r\n")
        if close or code == 421:
            self._closed = True
            self._note("close")
            self._transport.close()

    def _note(self, kind: str, **more: object) -> None:
        self._server.writer.add(
            kind=kind,
            at=time.time(),
            connection=self._number,
            recipient=self._recipient,
            sender=self._sender,
            **more,
        )


_MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_DELIVERY = re.compile(rb"^x-delivery:\s*(\S+)", re.IGNORECASE | re.MULTILINE)


def _path(rest: bytes) -> str:
    """The address between the angle brackets of MAIL FROM and RCPT TO."""
    return rest.partition(b"<")[2].partition(b">")[0].decode("utf-8", "replace")


def _header(pattern: re.Pattern[bytes], head: bytes) -> str:
    found = pattern.search(head)
    return found[1].decode("utf-8", "replace") if found else ""


def _unstuffed(stuffed: bytes) -> bytes:
    """RFC 5321 4.5.2: a dot that begins a line and is not alone on it was put there by the client."""
    return (b"\r\n" + stuffed).replace(b"\r\n.", b"\r\n")[2:]


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", default="{}")
    options = parser.parse_args()
    uvloop.run(_serve(Script.from_json(options.script), options.log, options.port))


async def _serve(script: Script, log_path: Path, port: int) -> None:
    server = ScriptedServer(script, log_path)
    await server.listen(port)
    sys.stdout.write(f"{server.address[1]}\n")
    sys.stdout.flush()
    # Ends when the parent closes the pipe or dies, however it dies.
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


if __name__ == "__main__":
    _main()
