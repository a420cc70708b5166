"""Unknown copies: resolved by hand, sent again by the policy, and never counted twice."""

import threading
import time
from datetime import datetime, timedelta

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from email_campaign.campaigns import campaigns
from email_campaign.campaigns.mailings import Mailing, MailingEvent, MailingState, UnknownPolicy
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.deliveries import Delivery, DeliveryState, count_moves, states_of
from email_campaign.delivery.late import record_late
from email_campaign.delivery.results import Claim, Result
from email_campaign.delivery.unknown import Decision, Resolution, resolve
from email_campaign.delivery.unknown_policy import RESENT_A_SWEEP, change_policy, resend_by_policy
from email_campaign.delivery.unknown_task import RESOLVE_HANDLER, TASK_KIND, resolve_all
from email_campaign.errors import Conflict
from email_campaign.reports.queries import attempts_of
from email_campaign.settings import Settings
from email_campaign.tasks import running
from email_campaign.tasks.tasks import Task, TaskState
from tests import factories
from tests.delivery.conftest import Engine
from tests.invariants import check_counts
from tests.tools.scripted_smtp import Rule, Script

ACCEPTED, REJECTED, UNKNOWN = DeliveryState.ACCEPTED, DeliveryState.REJECTED, DeliveryState.UNKNOWN


def decided(resolution: Resolution, until: datetime | None = None) -> Decision:
    return Decision(resolution, "Ada", until or utc_now())


@pytest.fixture
def unknown_three(engine_room: Engine, script: Script) -> int:
    """A finished campaign of which the relay took three copies and hung up: unknown, all of them."""
    script.rules.append(Rule("dot", drop=True, first=1))
    mailing_id = engine_room.launch(3)
    assert engine_room.run(mailing_id) == {UNKNOWN: 3}
    return mailing_id


@pytest.mark.parametrize("state", [ACCEPTED, REJECTED])
def test_what_somebody_found_out_is_written_counted_and_told_once(
    engine_room: Engine, unknown_three: int, state: DeliveryState
) -> None:
    for count in (2, 0):  # the second click changes nothing
        with engine_room.factory.begin() as session:
            assert resolve(session, unknown_three, [1, 3, 99], decided(Resolution(state)), utc_now()) == count
    assert engine_room.states(unknown_three) == {state: 2, UNKNOWN: 1}
    log = [(a["position"], a["phase"], a["verdict"], a["number"]) for a in engine_room.attempts(unknown_three)]
    assert log == [
        (1, "body", "unknown", 1),
        (1, "hand", state, 2),
        (2, "body", "unknown", 1),
        (3, "body", "unknown", 1),
        (3, "hand", state, 2),
    ]
    assert "Ada" in str(engine_room.attempts(unknown_three)[1]["reply"])
    with engine_room.factory() as session:
        check_counts(session, unknown_three)
        assert _told(session, unknown_three) == [("Ada", f"unknown_{state}", "2")]
    assert engine_room.campaign(unknown_three).mailing.state is MailingState.FINISHED


def test_a_resend_by_hand_opens_the_campaign_and_goes_out_with_the_same_message_id(
    engine_room: Engine, unknown_three: int
) -> None:
    for count in (1, 0):  # it is due: asking again asks for nothing more
        with engine_room.factory.begin() as session:
            assert resolve(session, unknown_three, [2], decided(Resolution.RESEND), utc_now()) == count
    assert engine_room.campaign(unknown_three).mailing.state is MailingState.SENDING
    engine_room.send(engine_room.dispatch())
    engine_room.sweep()
    assert engine_room.states(unknown_three) == {UNKNOWN: 2, ACCEPTED: 1}
    assert engine_room.is_settled(unknown_three)
    bodies = engine_room.relay.log.bodies()
    assert (len(bodies), len({body.message_id for body in bodies})) == (4, 3)
    log = [(a["phase"], a["verdict"]) for a in engine_room.attempts(unknown_three) if a["position"] == 2]
    assert log == [("body", "unknown"), ("hand", "unknown"), ("body", "accepted")]
    with engine_room.factory() as session:
        check_counts(session, unknown_three)


def test_what_became_unknown_after_somebody_looked_is_not_meant(engine_room: Engine, unknown_three: int) -> None:
    looked = utc_now()
    with engine_room.factory.begin() as session:
        session.execute(text("UPDATE deliveries SET changed_at = now() + interval '1 s' WHERE position = 2"))
    with engine_room.factory.begin() as session:
        decision = decided(Resolution.ACCEPTED, until=looked)
        begun = resolve_all(session, unknown_three, decision, created_by=None, now=utc_now())
    assert (begun.count, begun.task) == (2, None)
    assert engine_room.states(unknown_three) == {ACCEPTED: 2, UNKNOWN: 1}


@pytest.mark.parametrize(
    ("resolution", "late"),
    [(Resolution.ACCEPTED, REJECTED), (Resolution.REJECTED, ACCEPTED), (Resolution.RESEND, ACCEPTED)],
)
def test_a_late_result_and_a_hand_at_the_same_time_count_the_copy_once(
    settings: Settings, session_factory: SessionFactory, resolution: Resolution, late: DeliveryState
) -> None:
    mailing_id = _finished_with(session_factory, 40)
    gate = threading.Barrier(3)

    def hear_from_the_relay() -> None:
        with psycopg.connect(settings.database_url.replace("+psycopg", "", 1), autocommit=True) as connection:
            gate.wait()
            for position in range(1, 41):
                record_late(connection, _late(mailing_id, position, late), 7)

    def decide() -> None:
        gate.wait()
        for position in range(1, 41):
            with session_factory.begin() as session:
                resolve(session, mailing_id, [position], decided(resolution), utc_now())

    threads = [threading.Thread(target=work) for work in (hear_from_the_relay, decide)]
    for thread in threads:
        thread.start()
    gate.wait()
    for thread in threads:
        thread.join()
    with session_factory() as session:
        check_counts(session, mailing_id)
        copies = session.scalars(select(Delivery).where(Delivery.mailing_id == mailing_id)).all()
        assert {copy.state for copy in copies} <= {late.value, resolution.value}  # a 250 spares the resend
        assert all(copy.next_attempt_at is None for copy in copies if copy.state != "unknown")
        for copy in copies:
            log = [(one.number, one.phase) for one, _ in attempts_of(session, mailing_id, copy.position)]
            assert [number for number, _ in log] == list(range(1, copy.attempt_count + 1))
            assert [phase for _, phase in log].count("body") == 1  # the late result is never lost


def test_a_late_result_waits_for_the_hand_that_came_first(settings: Settings, session_factory: SessionFactory) -> None:
    mailing_id = _finished_with(session_factory, 1)
    url = settings.database_url.replace("+psycopg", "", 1)
    with psycopg.connect(url, autocommit=True) as connection, session_factory() as session:
        resolve(session, mailing_id, [1], decided(Resolution.ACCEPTED), utc_now())
        late = threading.Thread(target=record_late, args=[connection, _late(mailing_id, 1, REJECTED), 7])
        late.start()
        _until_somebody_waits(session)
        session.commit()
        late.join()
    with session_factory() as session:
        check_counts(session, mailing_id)
        assert session.get_one(Delivery, (mailing_id, 1)).state == ACCEPTED
        log = [(one.phase, one.verdict, one.late) for one, _ in attempts_of(session, mailing_id, 1)]
    assert log == [("sweep", "unknown", False), ("hand", "accepted", False), ("body", "rejected", True)]


def test_many_are_resolved_by_a_task_page_by_page(session_factory: SessionFactory, settings: Settings) -> None:
    mailing_id = _finished_with(session_factory, 5_000)
    with session_factory.begin() as session:
        begun = resolve_all(session, mailing_id, decided(Resolution.ACCEPTED), created_by=None, now=utc_now())
    assert begun.task
    with session_factory.begin() as session, pytest.raises(Conflict, match="already"):
        resolve_all(session, mailing_id, decided(Resolution.RESEND), created_by=None, now=utc_now())
    with session_factory.begin() as session:  # a late result takes one of them away meanwhile
        resolve(session, mailing_id, [4_000], decided(Resolution.REJECTED), utc_now())
    while running.run(session_factory, begun.task.id, {TASK_KIND: RESOLVE_HANDLER}, settings):
        pass
    with session_factory() as session:
        task = session.get_one(Task, begun.task.id)
        assert (task.state, task.done_count, task.total_count) == (TaskState.SUCCEEDED, 4_999, 5_000)
        assert states_of(session, mailing_id)[ACCEPTED] == 4_999
        check_counts(session, mailing_id)
        told = [("Ada", "unknown_rejected", "1"), ("Ada", "unknown_accepted", "4999")]
        assert _told(session, mailing_id) == told


def test_the_policy_that_is_changed_to_resend_sends_what_is_unknown_again_once(
    engine_room: Engine, unknown_three: int
) -> None:
    engine_room.sweep()
    assert engine_room.is_settled(unknown_three)  # under hold nothing happens by itself
    with engine_room.factory.begin() as session:
        change_policy(session, unknown_three, UnknownPolicy.RESEND, actor="Ada")
    assert engine_room.campaign(unknown_three).mailing.state is MailingState.SENDING
    _sweep_until_settled(engine_room, unknown_three)
    assert engine_room.states(unknown_three) == {ACCEPTED: 3}
    assert len(engine_room.relay.log.bodies()) == 6


def test_the_policy_that_is_changed_while_a_campaign_is_sent_holds_for_workers_that_know_it(
    engine_room: Engine, script: Script
) -> None:
    script.rules += [Rule("rcpt", reply=b"451 later", first=1), Rule("dot", drop=True)]
    mailing_id = engine_room.launch(1, unknown_policy=UnknownPolicy.RESEND)
    engine_room.enrol(mailing_id)
    engine_room.send(engine_room.dispatch())  # the process keeps what it read of the mailing
    assert engine_room.states(mailing_id) == {DeliveryState.DEFERRED: 1}
    with engine_room.factory.begin() as session:
        change_policy(session, mailing_id, UnknownPolicy.HOLD, actor="Ada")
    _sweep_until_settled(engine_room, mailing_id)
    assert engine_room.states(mailing_id) == {UNKNOWN: 1}
    assert len(engine_room.relay.log.bodies()) == 1


def test_the_policy_that_is_changed_to_hold_takes_back_what_was_due(session_factory: SessionFactory) -> None:
    mailing_id = _finished_with(session_factory, 3)
    with session_factory.begin() as session:
        change_policy(session, mailing_id, UnknownPolicy.RESEND, actor="Ada")
    with session_factory.begin() as session:
        campaigns.pause(session, mailing_id, actor="Ada")
        assert resend_by_policy(session, mailing_id, 0.0, utc_now()) == 3
        assert resend_by_policy(session, mailing_id, 0.0, utc_now()) == 0
    with session_factory.begin() as session:
        change_policy(session, mailing_id, UnknownPolicy.HOLD, actor="Ben")
        assert not session.scalar(text("SELECT count(*) FROM deliveries WHERE next_attempt_at IS NOT NULL"))
        assert resend_by_policy(session, mailing_id, 0.0, utc_now()) == 0
        assert _told(session, mailing_id)[-1] == ("Ben", "unknown_policy", "hold")


def test_what_was_sent_again_already_is_not_sent_a_third_time_by_the_policy(session_factory: SessionFactory) -> None:
    mailing_id = _finished_with(session_factory, 3)
    with session_factory.begin() as session:
        resolve(session, mailing_id, [2], decided(Resolution.RESEND), utc_now())
        session.execute(text("UPDATE deliveries SET next_attempt_at = NULL"))  # it went out, and is unknown again
        change_policy(session, mailing_id, UnknownPolicy.RESEND, actor="Ada")
        assert resend_by_policy(session, mailing_id, 0.0, utc_now()) == 2


def test_a_change_of_the_policy_makes_no_storm(session_factory: SessionFactory) -> None:
    mailing_id = _finished_with(session_factory, RESENT_A_SWEEP + 5)
    now = utc_now()
    with session_factory.begin() as session:
        change_policy(session, mailing_id, UnknownPolicy.RESEND, actor="Ada")
        assert resend_by_policy(session, mailing_id, 300.0, now) == RESENT_A_SWEEP
        assert resend_by_policy(session, mailing_id, 300.0, now) == 5
        first = session.scalar(text("SELECT min(next_attempt_at) FROM deliveries"))
    assert first >= now + timedelta(seconds=290)  # a late result has time to come


def test_of_a_cancelled_campaign_nothing_is_sent_again(session_factory: SessionFactory) -> None:
    mailing_id = _finished_with(session_factory, 2)
    with session_factory.begin() as session:
        session.get_one(Mailing, mailing_id).state = MailingState.CANCELLED
    with session_factory() as session:
        with pytest.raises(Conflict, match="cancelled"):
            change_policy(session, mailing_id, UnknownPolicy.RESEND, actor="Ada")
        with pytest.raises(Conflict, match="cancelled"):
            resolve(session, mailing_id, [1], decided(Resolution.RESEND), utc_now())
        with pytest.raises(Conflict, match="cancelled"):
            resolve_all(session, mailing_id, decided(Resolution.RESEND), created_by=None, now=utc_now())
        assert resolve(session, mailing_id, [1], decided(Resolution.ACCEPTED), utc_now()) == 1


def _finished_with(factory: SessionFactory, count: int) -> int:
    """A finished campaign of so many copies, all of them lost with a worker in mid-body."""
    with factory.begin() as session:
        mailing = factories.make_campaign(session, state=MailingState.FINISHED).mailing
        mailing.enrolled_count, mailing.next_position = count, count + 1
        session.flush()
        session.execute(_UNKNOWN_COPIES, {"mailing": mailing.id, "count": count})
        session.execute(_LOST, {"mailing": mailing.id})
        count_moves(session, mailing.id, {UNKNOWN: count})
        return mailing.id


def _late(mailing_id: int, position: int, state: DeliveryState) -> Result:
    now = utc_now()
    return Result(Claim(mailing_id, position, 1, 1), DeliveryState.SENDING, state, now, now, phase="body", code=550)


def _told(session: Session, mailing_id: int) -> list[tuple[str, str, str]]:
    events = session.scalars(
        select(MailingEvent).where(MailingEvent.mailing_id == mailing_id).order_by(MailingEvent.id)
    )
    return [(event.actor, event.kind, event.detail) for event in events if event.kind.startswith("unknown")]


def _sweep_until_settled(engine: Engine, mailing_id: int) -> None:
    deadline = time.monotonic() + 20
    while not engine.is_settled(mailing_id):
        assert time.monotonic() < deadline, engine.states(mailing_id)
        engine.send(engine.dispatch())
        engine.sweep()


def _until_somebody_waits(session: Session) -> None:
    """Until another session waits for a lock of this one."""
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))")
    deadline = time.monotonic() + 20
    while not session.scalar(waiting):
        assert time.monotonic() < deadline


_UNKNOWN_COPIES = text("""
INSERT INTO deliveries (mailing_id, position, address_hash, state, reason, changed_at, attempt_count)
SELECT :mailing, n, sha256(n::text::bytea), 'unknown', 'worker_gone', now(), 1 FROM generate_series(1, :count) n
""")
_LOST = text("""
INSERT INTO attempts (mailing_id, position, number, worker_id, relay_id, started_at, finished_at, spared, late, verdict,
    phase, reply)
SELECT mailing_id, position, 1, 0, 1, now(), now(), false, false, 'unknown', 'sweep', 'Worker 3 ended.'
FROM deliveries WHERE mailing_id = :mailing
""")
