"""The conversation with the relay over an open connection: envelopes, bodies, and which reply belongs to which step.

The phase of every failure is known, every reply is taken by the step that it belongs to, and a connection on which
anything unexpected happened is never used again (RFC 5321; the reasons are in docs/architecture.md).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, cast

from email_campaign.delivery.replies import Phase, Reply, parse_reply

MAX_REPLY_BYTES = 64 * 1024
QUIT_SECONDS = 2.0
LAST_LOOK_SECONDS = 0.05
WRITTEN_AT_ONCE = 64 * 1024

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that a step may take (RFC 5321 4.5.3.2)."""

    connect: float
    command: float
    final_dot: float


class Dropped(Exception):
    """The connection ended, or answered out of turn, while `phase` waited. A last 421 is kept as `farewell`."""

    def __init__(self, phase: Phase, message: str, farewell: Reply | None = None) -> None:
        super().__init__(message)
        self.phase = phase
        self.farewell = farewell


class Said(NamedTuple):
    """The step that decided, and the relay's words: an envelope's refusal, or the reply to the final dot."""

    phase: Phase
    reply: Reply


@dataclass(slots=True)
class _Answer:
    """What somebody waits for: the end of an envelope (None: go on) or the reply to a dot."""

    future: "asyncio.Future[Said | None]"
    open_steps: int
    said: Said | None = None


@dataclass(slots=True)
class _Step:
    """A command that has no reply yet. One whose first digit is in `wanted` lets the mail go on, any other decides."""

    phase: Phase
    wanted: bytes
    answer: _Answer


_ENVELOPE = ((Phase.MAIL, b"2"), (Phase.RCPT, b"2"), (Phase.DATA, b"3"))
_ASIDE = (Phase.CONNECT, b"2345")  # RSET and QUIT: whatever it says
_DOT = (Phase.BODY, b"")


class Connection(asyncio.Protocol):
    """An open connection. One mail at a time: `envelope`, then `body`; `quit` or `abort` at the end.

    Where the relay offers PIPELINING (RFC 2920) an envelope is one write, and may go out with the body before it.
    """

    def __init__(self, transport: asyncio.Transport, timeouts: Timeouts, *, is_pipelining: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._timeouts = timeouts
        self._rest = b""
        self._lines: list[bytes] = []
        self._steps: deque[_Step] = deque()
        self._ahead: _Answer | None = None
        self._patience = self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._lost: str | None = None
        self._farewell: Reply | None = None
        self._room: asyncio.Future[None] | None = None
        self._needs_reset = False
        self._in_mail = False
        self.is_pipelining = is_pipelining
        self.opened_at = self._loop.time()
        self.used_at = self.opened_at
        self.message_count = 0

    @property
    def is_open(self) -> bool:
        """Whether another mail may be tried on this connection."""
        return self._lost is None and not self._transport.is_closing()

    @property
    def is_between_mails(self) -> bool:
        """Whether the last mail came to its end: a connection left in its midst would take commands for a body."""
        return not self._in_mail

    @property
    def has_envelope_ahead(self) -> bool:
        """Whether the last body took the next envelope along."""
        return self._ahead is not None

    async def envelope(self, sender: str, recipient: str) -> Said | None:
        """MAIL, RCPT and DATA; None after the 354, else what was refused. Raises Dropped.

        One that went out with the body before it is only waited for. After a refusal the next envelope begins with
        RSET, so that a relay that hangs there cannot swallow this reply.
        """
        answer, self._ahead = self._ahead, None
        if answer is not None:
            refusal = await self._end_of(answer)
        elif self.is_pipelining:
            lines, steps = self._begin(sender, recipient)
            refusal = await self._end_of(self._ask(b"".join(lines), steps))
        else:
            for line, step in zip(*self._begin(sender, recipient), strict=True):
                if refusal := await self._end_of(self._ask(line, [step])):
                    break
        self._needs_reset = refusal is not None
        self._in_mail = refusal is None
        return refusal

    async def body(self, message: bytes, then: tuple[str, str] | None = None, behind: Sequence[bytes] = ()) -> Said:
        """Hand over the message (CRLF lines, not yet dot-stuffed) and return the reply to the final dot.

        `then`, on a connection that `is_pipelining`: sender and recipient of the next envelope, which goes out in the
        same write and must be the next that is asked for. `behind`: pieces that follow the message: whole lines, of
        which none begins with a dot. Raises Dropped: nobody can say whether the relay took it.
        """
        tail = b""
        steps: list[tuple[Phase, bytes]] = []
        if then is not None:
            lines, steps = self._begin(*then)
            tail = b"".join(lines)
        end = _final_dot(message) + tail
        if behind:
            answer = self._ask(dot_stuff(message), [_DOT], self._timeouts.final_dot)
            whole = await self._follow([*behind, end], answer)
        else:
            answer, whole = self._ask(dot_stuff(message) + end, [_DOT], self._timeouts.final_dot), True
        if steps and whole:
            self._ahead = self._await(steps)
        said = cast("Said", await self._end_of(answer))
        self._in_mail = bool(steps)
        if not whole or self._transport.get_write_buffer_size() > len(tail):
            self.abort("the relay answered before it had the whole message")  # it may answer the dot once more
        return said

    async def quit(self) -> None:
        """Say good-bye and close; a relay that does not answer is not waited for."""
        if self.is_open:
            try:
                async with asyncio.timeout(QUIT_SECONDS):
                    await self._end_of(self._ask(b"QUIT\r\n", [_ASIDE]))
            except (Dropped, TimeoutError):
                pass
        self.abort("closed by us")

    def abort(self, why: str) -> None:
        """Close at once, without a word: what was begun does not go out."""
        self._lose(why)
        self._transport.abort()

    async def _follow(self, pieces: Sequence[bytes], answer: _Answer) -> bool:
        """Write the pieces no faster than the relay takes them, so that no copy of them waits in memory. False when the
        relay answered, or was lost, before it had them all."""
        for piece in (memoryview(one) for one in pieces):
            for start in range(0, len(piece), WRITTEN_AT_ONCE):
                if self._room is not None:
                    await self._unless_cancelled(self._room)
                if answer.future.done():
                    return False
                self._watch(self._timeouts.final_dot)
                self._transport.write(piece[start : start + WRITTEN_AT_ONCE])
        return True

    def _begin(self, sender: str, recipient: str) -> tuple[list[bytes], list[tuple[Phase, bytes]]]:
        """The commands of an envelope, and what each of them wants to hear."""
        self.message_count += 1
        self._in_mail = True
        lines = [b"MAIL FROM:<%b>\r\n" % sender.encode(), b"RCPT TO:<%b>\r\n" % recipient.encode(), b"DATA\r\n"]
        if not self._needs_reset:
            return lines, [*_ENVELOPE]
        self._needs_reset = False
        return [b"RSET\r\n", *lines], [_ASIDE, *_ENVELOPE]

    def _ask(self, data: bytes, steps: Sequence[tuple[Phase, bytes]], seconds: float = 0.0) -> _Answer:
        if not self.is_open:
            raise Dropped(steps[0][0], self._lost or "connection closed", self._farewell)
        self._watch(seconds or self._timeouts.command)
        self._transport.write(data)
        return self._await(steps)

    def _await(self, steps: Sequence[tuple[Phase, bytes]]) -> _Answer:
        answer = _Answer(self._loop.create_future(), len(steps))
        for phase, wanted in steps:
            self._steps.append(_Step(phase, wanted, answer))
        return answer

    async def _end_of(self, answer: _Answer) -> Said | None:
        return await self._unless_cancelled(answer.future)

    async def _unless_cancelled(self, future: "asyncio.Future[_T]") -> _T:
        try:
            return await future
        except asyncio.CancelledError:
            # The reply would be taken for the next command's: such a connection is over.
            self.abort("cancelled")
            raise

    def _watch(self, seconds: float) -> None:
        """The next reply must come within so many seconds. One timer serves many mails: it looks when it fires."""
        self.used_at = self._loop.time()
        self._patience = seconds
        self._deadline = self.used_at + seconds
        if self._timer is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._steps:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        else:
            # A process that was stopped meets its timers before the replies that came meanwhile: those still count.
            self._loop.call_later(LAST_LOOK_SECONDS, self._give_up, self._steps[0])

    def _give_up(self, step: _Step) -> None:
        if self._steps and self._steps[0] is step:
            self.abort(f"timed out: no answer within {self._patience:g} s")

    def pause_writing(self) -> None:
        """The relay takes less than we write: a long message waits."""
        self._room = self._room or self._loop.create_future()

    def resume_writing(self) -> None:
        """There is room again, or nothing to wait for."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Cut the stream into replies; each goes to the step that waits for it."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_REPLY_BYTES or len(self._lines) > 1000:
            self.abort("the relay's reply does not end")
            return
        waiting = len(self._steps)
        for line in lines:
            self._lines.append(line)
            if line[3:4] != b"-":
                reply_lines, self._lines = self._lines, []
                self._take(reply_lines)
        if 0 < len(self._steps) < waiting:
            self._watch(self._timeouts.command)

    def _take(self, lines: list[bytes]) -> None:
        if not self._steps:
            # Nothing was asked: a 421 before it hangs up, or a relay that is out of step. Neither can be used again,
            # and a stray 250 must never be taken for an answer.
            reply = parse_reply(lines)
            if reply.code == 421:
                self._farewell = reply
            self.abort(f"the relay said {reply.code} {reply.text} unasked")
            return
        step = self._steps.popleft()
        answer = step.answer
        answer.open_steps -= 1
        code = lines[-1][:3]
        goes_on = len(code) == 3 and code.isdigit() and code[0] in step.wanted
        if not goes_on and answer.said is None:
            answer.said = Said(step.phase, parse_reply(lines))
        if not answer.open_steps and not answer.future.done():
            answer.future.set_result(answer.said)
            self.resume_writing()
        if goes_on and step.phase is Phase.DATA and answer.said is not None:
            self.abort("the relay refused the envelope and yet asked for the body")

    def eof_received(self) -> bool:
        """The relay hung up."""
        self._lose("the relay closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone; whoever waits is told."""
        self._lose(f"connection lost: {exc}" if exc else "the relay closed the connection")

    def _lose(self, why: str) -> None:
        self._lost = self._lost or why
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.resume_writing()
        while self._steps:
            step = self._steps.popleft()
            future = step.answer.future
            if future.done():
                continue
            if step.answer.said is not None:
                future.set_result(step.answer.said)  # it said no, and then did not answer the rest
            else:
                future.set_exception(Dropped(step.phase, self._lost, self._farewell))
                future.exception()  # an envelope that went ahead may have nobody who asks


def dot_stuff(message: bytes) -> bytes:
    """The message as it goes over the wire (RFC 5321 4.5.2). Lines end in CRLF already."""
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def _final_dot(message: bytes) -> bytes:
    return b".\r\n" if message.endswith(b"\r\n") else b"\r\n.\r\n"
