"""The conversation with the relay: what goes out in one write, and which reply belongs to which step."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from email_campaign.delivery.connect import RelayTarget, open_connection
from email_campaign.delivery.replies import Phase
from email_campaign.delivery.smtp import WRITTEN_AT_ONCE, Connection, Dropped, Said, Timeouts

MAIL = b"Subject: Hi\r\n\r\nHello\r\n.dot\r\n"
SENDER = "s@example.org"
FAST = Timeouts(connect=2.0, command=0.2, final_dot=0.4)
PATIENT = Timeouts(connect=2.0, command=5.0, final_dot=5.0)


@dataclass
class Relay:
    """Reads writes and answers each with the next of its replies, whatever was asked."""

    replies: list[bytes]
    greeting: bytes = b"250-relay\r\n250 PIPELINING\r\n"
    writes: list[bytes] = field(default_factory=list)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: EHLO, then one reply a write; an empty reply hangs up, no reply left says nothing."""
        with suppress(ConnectionError):
            writer.write(b"220 hello\r\n")
            await reader.readline()
            writer.write(self.greeting)
            while data := await reader.read(1 << 20):
                self.writes.append(data)
                if not self.replies:
                    continue
                reply = self.replies.pop(0)
                if not reply:
                    break
                writer.write(reply)
        writer.close()
        self.is_over.set()


def conversation(relay: Relay, act: Callable[[Connection], Awaitable[object]], timeouts: Timeouts = PATIENT) -> object:
    """What `act` returns, on a connection to this relay."""

    async def held() -> object:
        server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        target = RelayTarget("127.0.0.1", port, "none", "", "", "client.example", timeouts)
        connection = await open_connection(target)
        try:
            return await act(connection)
        finally:
            connection.abort("over")
            server.close()
            await relay.is_over.wait()
            await asyncio.sleep(0)

    return asyncio.run(held())


async def _one(connection: Connection) -> Said | None:
    return await connection.envelope(SENDER, "a@x.example")


async def _two(connection: Connection) -> list[object]:
    """The first mail with the second one's envelope, and that one's body."""
    assert await connection.envelope(SENDER, "a@x.example") is None
    first = await connection.body(MAIL, (SENDER, "b@x.example"))
    refusal = await connection.envelope(SENDER, "b@x.example")
    if refusal is not None:
        return [first.reply.code, refusal.phase, refusal.reply.code]
    return [first.reply.code, None, (await connection.body(MAIL)).reply.code]


GO = b"250 ok\r\n250 ok\r\n354 go on\r\n"


def test_an_envelope_is_one_write_and_goes_with_the_body_before_it() -> None:
    relay = Relay([GO, b"250 taken\r\n" + GO, b"250 taken too\r\n"])
    assert conversation(relay, _two) == [250, None, 250]
    stuffed = MAIL.replace(b"\n.dot", b"\n..dot") + b".\r\n"
    assert relay.writes == [
        b"MAIL FROM:<s@example.org>\r\nRCPT TO:<a@x.example>\r\nDATA\r\n",
        stuffed + b"MAIL FROM:<s@example.org>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n",
        stuffed,
    ]


def test_without_pipelining_every_command_waits_for_the_reply_before_it() -> None:
    relay = Relay([b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 taken\r\n"], greeting=b"250 relay\r\n")

    async def one_mail(connection: Connection) -> int:
        assert not connection.is_pipelining
        assert await connection.envelope(SENDER, "a@x.example") is None
        return (await connection.body(MAIL)).reply.code

    assert conversation(relay, one_mail) == 250
    assert [write.split(b" ")[0].strip() for write in relay.writes] == [b"MAIL", b"RCPT", b"DATA", b"Subject:"]


@pytest.mark.parametrize(
    ("replies", "phase", "code", "stays_open"),
    [
        (b"550 5.7.1 not you\r\n503 what?\r\n503 what?\r\n", Phase.MAIL, 550, True),
        (b"250 ok\r\n550-5.1.1 no\r\n550 5.1.1 such user\r\n503 nobody\r\n", Phase.RCPT, 550, True),
        (b"250 ok\r\n250 ok\r\n451 4.3.0 later\r\n", Phase.DATA, 451, True),
        (b"250 ok\r\n550 5.1.1 no\r\n354 and yet\r\n", Phase.RCPT, 550, False),
        (b"250 ok\r\nhello?\r\n503 nobody\r\n", Phase.RCPT, 0, True),
        (b"250 ok\r\n250 ok\r\n250 ok\r\n354 one too many\r\n", Phase.DATA, 250, False),
    ],
)
def test_the_first_refusal_of_a_group_decides(replies: bytes, phase: Phase, code: int, stays_open: bool) -> None:
    async def refused(connection: Connection) -> tuple[object, ...]:
        said = await _one(connection)
        assert said is not None
        await asyncio.sleep(0)
        return said.phase, said.reply.code, connection.is_open, connection.is_between_mails

    assert conversation(Relay([replies]), refused) == (phase, code, stays_open, True)


def test_after_a_refusal_the_next_group_begins_with_rset_whatever_it_says() -> None:
    relay = Relay([b"250 ok\r\n550 5.1.1 no\r\n503 nobody\r\n", b"502 what?\r\n" + GO, b"250 taken\r\n"])

    async def refused_then_another(connection: Connection) -> int:
        assert await _one(connection) is not None
        assert await connection.envelope(SENDER, "b@x.example") is None
        return (await connection.body(MAIL)).reply.code

    assert conversation(relay, refused_then_another) == 250
    assert relay.writes[1].startswith(b"RSET\r\nMAIL FROM:")


def test_a_refusal_of_the_envelope_that_went_ahead_leaves_the_body_before_it_accepted() -> None:
    ahead = b"250 taken\r\n250 ok\r\n452 4.2.2 full\r\n503 nobody\r\n"
    assert conversation(Relay([GO, ahead]), _two) == [250, Phase.RCPT, 452]


def test_a_refusal_counts_although_the_rest_of_the_group_is_never_answered() -> None:
    async def refused(connection: Connection) -> tuple[object, ...]:
        said = await _one(connection)
        return said and said.phase, connection.is_open

    assert conversation(Relay([b"250 ok\r\n550 5.1.1 no\r\n"]), refused, FAST) == (Phase.RCPT, False)


@pytest.mark.parametrize(
    ("replies", "phases"),
    [
        ([GO, b""], [Phase.BODY, Phase.MAIL]),
        ([GO, b"250 taken\r\n"], [None, Phase.MAIL]),
        ([GO, b"250 taken\r\n250 ok\r\n"], [None, Phase.RCPT]),
    ],
)
def test_a_drop_is_told_to_the_step_that_had_no_answer(replies: list[bytes], phases: list[Phase | None]) -> None:
    async def dropped(connection: Connection) -> list[Phase | None]:
        assert await _one(connection) is None
        met: list[Phase | None] = []
        for step in (connection.body(MAIL, (SENDER, "b@x.example")), connection.envelope(SENDER, "b@x.example")):
            try:
                await step
                met.append(None)
            except Dropped as drop:
                met.append(drop.phase)
        return met

    assert conversation(Relay(replies), dropped, FAST) == phases


def test_a_connection_whose_next_envelope_is_under_way_is_not_between_mails() -> None:
    async def with_one_ahead(connection: Connection) -> tuple[bool, bool]:
        assert await _one(connection) is None
        await connection.body(MAIL, (SENDER, "b@x.example"))
        return connection.has_envelope_ahead, connection.is_between_mails

    assert conversation(Relay([GO, b"250 taken\r\n" + GO]), with_one_ahead) == (True, False)


def test_every_reply_has_its_own_time_and_the_dot_a_longer_one() -> None:
    async def slow(connection: Connection) -> float:
        assert await _one(connection) is None
        began = asyncio.get_running_loop().time()
        with pytest.raises(Dropped, match=r"no answer within 0\.4 s"):
            await connection.body(MAIL)
        return asyncio.get_running_loop().time() - began

    waited = conversation(Relay([GO]), slow, FAST)
    assert isinstance(waited, float)
    assert waited >= 0.4


PIECES = [b"--b\r\n", b"QUJD" * 19 + b"\r\n", (b"QUJD" * 19 + b"\r\n") * 100_000, b"--b--\r\n"]


def test_pieces_that_follow_are_written_as_one_mail_with_the_next_envelope_behind() -> None:
    relay = Relay([])

    async def two(connection: Connection) -> list[object]:
        assert await _one(connection) is None
        first = await connection.body(MAIL, (SENDER, "b@x.example"), PIECES)
        return [first.reply.code, await connection.envelope(SENDER, "b@x.example"), connection.is_open]

    taking = _taking_slowly(relay, [GO, b"250 taken\r\n" + GO])
    assert conversation(taking, two) == [250, None, True]
    stuffed = MAIL.replace(b"\n.dot", b"\n..dot") + b"".join(PIECES) + b".\r\n"
    wire = b"".join(relay.writes)
    envelope = b"MAIL FROM:<s@example.org>\r\nRCPT TO:<%b@x.example>\r\nDATA\r\n"
    assert wire == envelope % b"a" + stuffed + envelope % b"b"


def test_a_relay_that_takes_a_long_mail_slowly_finds_little_of_it_waiting_in_memory() -> None:
    waiting: list[int] = []

    async def watched(connection: Connection) -> int:
        assert await _one(connection) is None
        body = asyncio.ensure_future(connection.body(MAIL, None, PIECES))
        while not body.done():
            waiting.append(connection._transport.get_write_buffer_size())
            await asyncio.sleep(0)
        return (await body).reply.code

    assert conversation(_taking_slowly(Relay([]), [GO, b"250 taken\r\n"]), watched) == 250
    assert 0 < max(waiting) <= 3 * WRITTEN_AT_ONCE


def test_a_refusal_in_the_midst_of_a_long_mail_counts_and_ends_the_connection() -> None:
    async def refused(connection: Connection) -> tuple[int, bool]:
        assert await _one(connection) is None
        said = await connection.body(MAIL, (SENDER, "b@x.example"), [b"".join(PIECES)] * 4)
        return said.reply.code, connection.is_open

    assert conversation(Relay([GO, b"552 5.3.4 too big\r\n"]), refused) == (552, False)


def test_a_drop_in_the_midst_of_a_long_mail_is_a_drop_of_its_body() -> None:
    async def dropped(connection: Connection) -> Phase:
        assert await _one(connection) is None
        with pytest.raises(Dropped) as drop:
            await connection.body(MAIL, None, [b"".join(PIECES)] * 4)
        return drop.value.phase

    assert conversation(Relay([GO, b""]), dropped) is Phase.BODY


def _taking_slowly(relay: Relay, replies: list[bytes]) -> Relay:
    """The relay, reading 16 kB at a time, and answering an envelope or a dot once it has all of it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(b"220 hello\r\n")
            await reader.readline()
            writer.write(relay.greeting)
            last = b""
            while data := await reader.read(16 * 1024):
                relay.writes.append(data)
                last = (last + data)[-200:]
                if replies and (last.endswith(b"DATA\r\n") or b"\r\n.\r\n" in last):
                    writer.write(replies.pop(0))
                    last = b""
                await asyncio.sleep(0)
        writer.close()
        relay.is_over.set()

    relay.serve = serve  # type: ignore[method-assign]
    return relay
