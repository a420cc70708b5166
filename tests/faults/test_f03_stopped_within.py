"""F3, looked at within one process: what was stopped between two steps, or lost its lease meanwhile, sends nothing.

Apart from the other tests of F3: their running service would take this engine's slices.
"""

import asyncio
import threading
import time
from collections.abc import Callable

from email_campaign.clock import utc_now
from email_campaign.delivery import leases, workers
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.record import Answer
from email_campaign.delivery.results import Claim
from tests.delivery.conftest import Engine
from tests.faults.tally import Tally
from tests.faults.waiting import wait_until
from tests.tools.scripted_smtp import Rule, Script


def test_f03_a_reply_that_came_while_the_process_was_stopped_beats_the_timeout(
    make_engine: Callable[..., Engine], script: Script, tally: Tally
) -> None:
    engine = make_engine(smtp_final_dot_timeout_seconds=0.6)
    script.rules.append(Rule("dot", delay_seconds=0.3))
    mailing_id = engine.launch(1)
    engine.enrol(mailing_id)
    sending = threading.Thread(target=engine.send, args=[engine.dispatch()])
    sending.start()
    engine.relay.log.wait_for("body-complete", 1)
    tally.made()
    engine.process._loop.call_soon_threadsafe(time.sleep, 1.0)  # the loop stands still, as under SIGSTOP
    sending.join()
    assert engine.run(mailing_id) == {DeliveryState.ACCEPTED: 1}


def test_f03_a_body_that_was_held_back_after_its_intent_is_not_left_unknown(
    make_engine: Callable[..., Engine], tally: Tally
) -> None:
    engine = make_engine()
    mailing_id = engine.launch(1)
    engine.enrol(mailing_id)
    intend = engine.process.recorder.intend

    def intend_and_stop(claim: Claim) -> "asyncio.Future[Answer]":
        """As if the process were stopped between the answer to its INTENT and the body."""
        future = intend(claim)
        future.add_done_callback(stop)
        return future

    def stop(_: object) -> None:
        stopped.set()
        awake.wait(20)

    stopped, awake = threading.Event(), threading.Event()
    engine.process.recorder.intend = intend_and_stop  # type: ignore[method-assign]
    sending = threading.Thread(target=engine.send, args=[engine.dispatch()])
    sending.start()
    assert stopped.wait(10)
    tally.made()
    with engine.factory.begin() as session:
        workers.sign_off(session, engine.process.worker_id)
    engine.sweep()
    assert engine.states(mailing_id) == {DeliveryState.UNKNOWN: 1}
    wait_until(lambda: not engine.process.may_start_body())
    awake.set()
    sending.join()
    assert engine.relay.log.bodies() == []
    engine.process.recorder.intend = intend  # type: ignore[method-assign]
    wait_until(engine.process.may_start_body)
    assert engine.run(mailing_id) == {DeliveryState.ACCEPTED: 1}
    log = [(a["phase"], a["verdict"], a["late"]) for a in engine.attempts(mailing_id)]
    assert log == [("sweep", "unknown", False), ("data", "deferred", True), ("body", "accepted", False)]


def test_f03_an_intent_under_a_token_that_was_taken_back_is_refused(engine_room: Engine, tally: Tally) -> None:
    mailing_id = engine_room.launch(1)
    engine_room.enrol(mailing_id)
    (slice_id,) = engine_room.dispatch()
    with engine_room.factory.begin() as session:
        stopped = workers.register(session, host="stopped", pid=1, now=utc_now())
        lease = leases.take(session, slice_id, stopped, token=1)
        workers.sign_off(session, stopped)
    tally.made()
    assert lease
    engine_room.sweep()  # takes it back: the row is pending as before, the token is not
    assert _answer(engine_room, lease.copies[0].claim) == "not now"
    assert engine_room.run(mailing_id) == {DeliveryState.ACCEPTED: 1}


def _answer(engine: Engine, claim: Claim) -> Answer:
    async def answered() -> Answer:
        return await engine.process.recorder.intend(claim)

    return asyncio.run_coroutine_threadsafe(answered(), engine.process._loop).result(20)
