"""The wire of the SMTP server: lines and messages cut from packets in linear time, answers in as few writes.

Only CRLF ends a line. The CRLF before the final dot is not part of the mail. Beyond MailHog: a dot alone right after
DATA ends an empty mail, leading dots are unstuffed on the first line too, and a mail that is too large gets 552.
"""

import asyncio
from typing import cast

from email_campaign.local.inbox.conversation import Conversation
from email_campaign.local.inbox.jim import Jim, happens
from email_campaign.local.inbox.store import Store
from email_campaign.local.inbox.trouble import Troubles

MAX_MESSAGE_BYTES = 50 * 1024 * 1024
MAX_LINE_BYTES = 64 * 1024

_END = b"\r\n.\r\n"


class SmtpSession(asyncio.Protocol):
    """One connection. Every command of a packet is answered in order, the answers leave in one write (RFC 2920)."""

    def __init__(
        self,
        store: Store,
        sessions: set["SmtpSession"],
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        jim: Jim | None = None,
        troubles: Troubles | None = None,
    ) -> None:
        """`sessions` holds the connections that are open, so that they can be cut in the end."""
        self._conversation = Conversation(store, jim, troubles)
        self._jim = jim
        self._bytes_a_second = jim.link_speed() if jim else None
        self._sessions = sessions
        self._max_message_bytes = max_message_bytes
        self._buffer = bytearray()
        self._searched = 0
        """The buffer holds no line end, or no final dot, that begins before this position."""
        self._is_first_line = False
        self._is_too_large = False
        self._replies: list[bytes] = []
        self._is_holding = False
        """A reply is held back; what follows it waits in the buffer, so that replies keep their order."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: uvloop's transport is one by behaviour, not by descent.
        self._transport = cast("asyncio.Transport", transport)
        self._sessions.add(self)
        if self._jim is not None and not happens(self._jim.accept_chance):
            self._transport.close()
        else:
            self._transport.write(self._conversation.greeting())

    def connection_lost(self, _: Exception | None) -> None:
        self._sessions.discard(self)

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._bytes_a_second is None:
            self._receive(data)
            return
        # A slow link: these bytes are still on their way, and what follows waits behind them.
        self._transport.pause_reading()
        asyncio.get_running_loop().call_later(len(data) / self._bytes_a_second, self._receive_late, data)

    def _receive_late(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._read_on()
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        self._buffer += data
        conversation = self._conversation
        while not (conversation.is_over or self._is_holding):
            if not (self._take_message() if conversation.in_message else self._take_line()):
                break
        if self._replies:
            self._transport.write(b"".join(self._replies))
            self._replies.clear()
        if conversation.is_over or (self._jim is not None and happens(self._jim.disconnect_chance)):
            self._transport.close()

    def pause_writing(self) -> None:
        # A client that does not read its answers must not make us store them.
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._read_on()

    def _read_on(self) -> None:
        if not self._is_holding:
            self._transport.resume_reading()

    def _hold(self, reply: bytes, seconds: float) -> None:
        """Keep a reply back, and read nothing more until it is sent. Other connections go on."""
        self._is_holding = True
        self._transport.pause_reading()
        asyncio.get_running_loop().call_later(seconds, self._send_held, reply)

    def _send_held(self, reply: bytes) -> None:
        self._is_holding = False
        if not self._transport.is_closing():
            self._read_on()
            self._replies.append(reply)
            self._receive(b"")

    def _take_line(self) -> bool:
        """Answer one line; False when its end is not here yet."""
        end = self._buffer.find(b"\r\n", self._searched)
        if end < 0:
            self._searched = max(0, len(self._buffer) - 1)
            if len(self._buffer) > MAX_LINE_BYTES:
                self._replies.append(b"500 Line too long\r\n")
                self._conversation.is_over = True
            return False
        line = bytes(self._buffer[:end])
        self._consume(end + 2)
        reply = self._conversation.answer(line)
        if self._conversation.delay_seconds:
            self._hold(reply, self._conversation.delay_seconds)
        else:
            self._replies.append(reply)
        self._is_first_line = self._conversation.in_message
        return True

    def _take_message(self) -> bool:
        """Store the mail when its final dot is here; False until then."""
        buffer = self._buffer
        if self._is_first_line:
            if len(buffer) < 3:
                return False
            self._is_first_line = False
            if buffer.startswith(b".\r\n"):
                self._consume(3)
                self._replies.append(self._conversation.finish(b""))
                return True
        end = buffer.find(_END, self._searched)
        if end < 0:
            self._wait_for_the_end()
            return False
        raw = bytes(buffer[:end])
        self._consume(end + len(_END))
        if self._is_too_large or len(raw) > self._max_message_bytes:
            self._is_too_large = False
            refusal = f"552 The mail is larger than {self._max_message_bytes} bytes\r\n"
            self._replies.append(self._conversation.refuse(refusal.encode()))
        else:
            self._replies.append(self._conversation.finish(_unstuffed(raw)))
        return True

    def _wait_for_the_end(self) -> None:
        if len(self._buffer) > self._max_message_bytes + len(_END):
            # Too large: what is here is thrown away, but for the beginning of what may be the end.
            self._is_too_large = True
            del self._buffer[: 1 - len(_END)]
        self._searched = max(0, len(self._buffer) - len(_END) + 1)

    def _consume(self, count: int) -> None:
        del self._buffer[:count]
        self._searched = 0


def _unstuffed(raw: bytes) -> bytes:
    """RFC 5321 4.5.2: the first dot of a line is the sender's."""
    if raw.startswith(b"."):
        raw = raw[1:]
    return raw.replace(b"\r\n.", b"\r\n") if b"\r\n." in raw else raw
