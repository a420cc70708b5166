"""F14: after a cancelled send, or a stray reply, the next mail gets a new connection: replies never shift by one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from email_campaign.delivery.connect import RelayTarget
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.pool import Pool, PoolRules
from email_campaign.delivery.smtp import Connection
from tests.delivery.conftest import STEPS_TOO, Engine
from tests.tools.scripted_smtp import Rule, Script, ScriptedServer

pytestmark = STEPS_TOO

ACCEPTED, DEFERRED = DeliveryState.ACCEPTED, DeliveryState.DEFERRED
MAIL = b"Message-ID: <%d@x>\r\n\r\nHello\r\n"

Act = Callable[[Pool, Connection], Coroutine[Any, Any, object]]


async def _in_body(_: Pool, connection: Connection) -> None:
    assert await connection.envelope("s@example.org", "slow@example.org") is None
    await connection.body(MAIL % 1)


async def _between_envelope_and_body(_: Pool, connection: Connection) -> None:
    assert await connection.envelope("s@example.org", "slow@example.org") is None
    await asyncio.sleep(60)


@pytest.mark.parametrize("act", [_in_body, _between_envelope_and_body])
def test_f14_a_cancelled_mail_ends_its_connection(relay: ScriptedServer, engine_room: Engine, act: Act) -> None:
    relay.script.rules.append(Rule("dot", to="slow", delay_seconds=0.3, reply=b"250 slow taken"))
    relay.script.rules.append(Rule("dot", to="next", reply=b"554 5.6.0 next refused"))

    async def cancelled_then_another() -> tuple[bool, int]:
        pool = Pool(RelayTarget.from_settings(engine_room.settings), PoolRules(2, 100, 60.0, 60.0))
        first = await pool.take()
        task = asyncio.create_task(act(pool, first))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await pool.give_back(first)
        second = await pool.take()
        assert await second.envelope("s@example.org", "next@example.org") is None
        said = await second.body(MAIL % 2)
        await pool.give_back(second)
        await pool.close()
        return first is second, said.reply.code

    assert asyncio.run(cancelled_then_another()) == (False, 554)
    assert [event.recipient for event in relay.log.bodies()][-1:] == ["next@example.org"]


@pytest.mark.parametrize(
    ("step", "reply"),
    [
        ("mail", b"250 2.1.0 Ok\r\n250 2.1.5 and once more"),
        ("rcpt", b"250 2.1.5 Ok\r\n354 come on"),
        ("rcpt", b"550 5.7.1 no\r\n354 and yet come on"),
    ],
)
def test_f14_a_stray_yes_is_nobodys_acceptance(engine_room: Engine, script: Script, step: str, reply: bytes) -> None:
    script.rules.append(Rule(step, reply=reply, first=1))
    mailing_id = engine_room.launch(3)
    states = engine_room.run(mailing_id)  # which checks that every accepted copy was on the wire
    assert sum(states.values()) == 3
    taken = engine_room.relay.log.accepted()
    assert states.get(ACCEPTED, 0) == sum(taken.values())


def test_f14_a_stray_yes_before_the_first_mail_is_nobodys_acceptance(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("ehlo", reply=b"250 hello\r\n250 and good morning", first=1))
    assert engine_room.run(engine_room.launch(2)) == {ACCEPTED: 2}


def test_f14_a_reply_that_nobody_asked_for_ends_its_connection(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("data", reply=b"354 come on\r\n250 2.0.0 taken already", first=1))
    assert engine_room.run(engine_room.launch(3)) == {ACCEPTED: 3}
    log = engine_room.relay.log
    without_a_body = {e.connection for e in log.events("connect")} - {e.connection for e in log.events("body-begun")}
    assert len(without_a_body) >= 3
