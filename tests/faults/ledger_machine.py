"""The ledger of a real Postgres driven in any order, beside the model that says what must come of it (F27)."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.campaigns import campaigns, launching
from email_campaign.campaigns.mailings import UnknownPolicy
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery import dispatch, enrol, leases, retry_by_hand, sweep, unknown, workers
from email_campaign.delivery.compose import derive_message_id
from email_campaign.delivery.conclude import Trial, withdraw
from email_campaign.delivery.deliveries import DeliveryState as S
from email_campaign.delivery.orders import derive_keys
from email_campaign.delivery.record import Answer, Recorder
from email_campaign.delivery.results import Claim, Result
from email_campaign.settings import Settings
from tests import factories
from tests.faults.ledger_model import Copy, Job, Model
from tests.invariants import check_carried, check_counts, check_settled
from tests.tables import empty_tables
from tests.tools.loop_thread import LoopThread
from tests.tools.wire_log import WireLog, WireLogWriter

AUDIENCE = 4
DAY = timedelta(days=1)
ROUNDS = 30


@dataclass(frozen=True, slots=True)
class Grounds:
    """What all examples share: services, a recorder with its loop, and a folder for the logs of imagined relays."""

    factory: SessionFactory
    settings: Settings
    thread: LoopThread
    recorder: Recorder
    folder: Path


@dataclass(eq=False)
class Held:
    """A lease as the worker knows it, also when it has been taken back."""

    lease: leases.Lease
    worker_id: int
    jobs: list[Job]


class LedgerMachine(RuleBasedStateMachine):
    """Every rule does the same to Postgres and to the model, and compares what both answer."""

    def __init__(self, grounds: Grounds) -> None:
        super().__init__()
        self.grounds = grounds
        empty_tables(grounds.factory.kw["bind"])  # so that the same steps are the same run, whatever went before
        self.wire = WireLog(grounds.folder / f"wire-{time.monotonic_ns()}.jsonl")
        self.relay = WireLogWriter(self.wire.path)
        self.tokens = 0
        self.held: list[Held] = []
        self.recorded: list[Job] = []
        self.workers = [self._register(), self._register()]

    @initialize(resends=st.booleans(), barred=st.sets(st.integers(0, AUDIENCE - 1), max_size=2))
    def launch(self, resends: bool, barred: set[int]) -> None:
        self.model = Model(resends=resends)
        with self.grounds.factory.begin() as session:
            audience = factories.make_list(session)
            # The same addresses each time: by their hashes they get the same positions.
            self.contacts = [factories.make_contact(session, f"c{n}@example.org") for n in range(AUDIENCE)]
            for contact in self.contacts:
                factories.make_subscription(session, contact, audience)
            template = factories.make_template(session)
            campaign = factories.make_campaign(session, template=template, lists=[audience])
            campaign.mailing.unknown_policy = UnknownPolicy.RESEND if resends else UnknownPolicy.HOLD
        self.mailing_id = campaign.id
        self.barred: set[int] = set()
        with self.grounds.factory.begin() as session:
            launching.launch(session, campaign.id, actor="test", now=utc_now())
        for place in barred:
            self._suppress(place)

    # What a worker does

    @rule()
    def enrol(self) -> None:
        rest = AUDIENCE - len(self.model.copies)
        limit = self.grounds.settings.enrol_page if self.model.copies else self.grounds.settings.enrol_first_page
        with self.grounds.factory.begin() as session:
            more = enrol.enrol_page(session, self.mailing_id, self.grounds.settings, utc_now())
            rows = session.execute(_NEW_ROWS, {"m": self.mailing_id, "known": list(self.model.copies)}).all()
        expected = (
            [] if self.model.is_enrolled else sorted(c.id for c in self.contacts)[len(self.model.copies) :][:limit]
        )
        assert sorted(row.contact_id for row in rows) == expected
        for row in rows:
            is_barred = row.contact_id in self.barred
            fresh = S.CANCELLED if self.model.state == "cancelled" else S.PENDING
            self.model.copies[row.position] = Copy(S.SKIPPED if is_barred else fresh, is_barred)
            self.model.beyond.add(row.position)
        self.model.is_enrolled = self.model.is_enrolled or rest < limit
        assert more is not self.model.is_enrolled

    @rule()
    def dispatch(self) -> None:
        with self.grounds.factory.begin() as session:
            dispatch.dispatch(session, self.grounds.settings, utc_now())
            made = session.execute(_NEW_SLICES, {"m": self.mailing_id, "known": list(self.model.slices)}).all()
        for row in made:
            self.model.dealt(row.id, row.positions or range(row.first_position, row.last_position + 1))

    @precondition(lambda self: self.model.slices)
    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        slice_id = data.draw(st.sampled_from(sorted(self.model.slices)))
        worker_id = data.draw(st.sampled_from(self.workers))
        self.tokens += 1
        with self.grounds.factory.begin() as session:
            lease = leases.take(session, slice_id, worker_id, self.tokens)
        expected = self.model.take(slice_id, worker_id, self.tokens)
        assert (lease is None) is (expected is None)
        if lease is not None:
            assert {copy.claim.position for copy in lease.copies} == expected
            now = utc_now()
            self.held.append(Held(lease, worker_id, [Job(c.claim, now) for c in lease.copies]))

    @precondition(lambda self: self.jobs("held", "going"))
    @rule(data=st.data())
    def intend(self, data: st.DataObject) -> None:
        """Also a second time, as after a COMMIT whose answer was cut; beside a result of another copy or alone."""
        job = data.draw(st.sampled_from(self.jobs("held", "going")))
        beside = [other for other in self.jobs("answered") if other.claim.key != job.claim.key]
        other = data.draw(st.sampled_from([None, *beside]))
        self._intend(job, other)

    def _intend(self, job: Job, other: Job | None = None) -> None:
        orders: list[Claim | Result] = [job.claim]
        if other is not None and other.result is not None:
            orders.append(other.result)
            self._close_job(other)
            self.model.record(other, other.result)
        expected = self.model.intend(job)
        assert self._put(*orders)[0] == expected
        job.stage = "going" if expected == "go" else "done"
        if expected == "not now":
            self._settle(job, self._withdrawal(job, intended=False))

    @precondition(lambda self: self.jobs("held"))
    @rule(data=st.data(), state=st.sampled_from([S.DEFERRED, S.REJECTED]), is_due=st.booleans())
    def refuse_the_envelope(self, data: st.DataObject, state: S, is_due: bool) -> None:
        """A verdict before any INTENT."""
        job = data.draw(st.sampled_from(self.jobs("held")))
        self._settle(job, self._result(job, S.PENDING, state, is_due=is_due))

    @precondition(lambda self: self.jobs("going"))
    @rule(data=st.data(), state=st.sampled_from([S.ACCEPTED, S.DEFERRED, S.REJECTED, S.UNKNOWN]), is_due=st.booleans())
    def send_the_body(self, data: st.DataObject, state: S, is_due: bool) -> None:
        """The relay has it, and says something or hangs up; the worker has not recorded it yet."""
        self._send_the_body(data.draw(st.sampled_from(self.jobs("going"))), state, is_due=is_due)

    def _send_the_body(self, job: Job, state: S, *, is_due: bool = True) -> None:
        job.stage, job.result = "answered", self._result(job, S.SENDING, state, is_due=is_due)
        self.model.copies[job.claim.position].bodies += state in {S.ACCEPTED, S.UNKNOWN}
        self._log_body(job.claim.position, state)

    @precondition(lambda self: self.jobs("answered"))
    @rule(data=st.data())
    def record(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.jobs("answered")))
        assert job.result
        self._settle(job, job.result)

    @precondition(lambda self: self.recorded)
    @rule(data=st.data())
    def record_again(self, data: st.DataObject) -> None:
        """The answer to its COMMIT was cut."""
        job = data.draw(st.sampled_from(self.recorded))
        assert job.result
        self._settle(job, job.result)

    @precondition(lambda self: self.jobs("going"))
    @rule(data=st.data())
    def hold_the_body_back(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.jobs("going")))
        self._settle(job, self._withdrawal(job, intended=True))

    @precondition(lambda self: self.idle())
    @rule(data=st.data(), wait=st.sampled_from(["none", "past", "future"]))
    def let_go(self, data: st.DataObject, wait: str) -> None:
        self._let_go(data.draw(st.sampled_from(self.idle())), wait)

    def _let_go(self, held: Held, wait: str = "none") -> None:
        due_at = {"none": None, "past": utc_now() - DAY, "future": utc_now() + DAY}[wait]
        with self.grounds.factory.begin() as session:
            is_closed = leases.let_go(session, held.lease, due_at=due_at, hold_reason="limit" if due_at else None)
        expected = self.model.let_go(held.lease.slice_id, held.lease.token, is_due=wait != "future")
        assert is_closed is expected
        self.held.remove(held)

    @rule(place=st.integers(0, 1))
    def kill(self, place: int) -> None:
        """A worker dies, or is believed to be dead and does not know it."""
        with self.grounds.factory.begin() as session:
            workers.sign_off(session, self.workers[place])
        self.model.dead_workers.add(self.workers[place])
        self.workers[place] = self._register()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """The beat finds a lease that its process knows nothing of."""
        held = data.draw(st.sampled_from(self.held))
        lost = workers.Leased(held.lease.slice_id, self.mailing_id, held.worker_id, held.lease.token)
        at = utc_now()
        with self.grounds.factory.begin() as session:
            leases.take_back(session, lost, why="test")
        self.model.take_back(lost.slice_id, lost.token, at)

    # What people do

    @precondition(lambda self: self.model.state == "sending")
    @rule()
    def pause(self) -> None:
        self._control(campaigns.pause, "paused")

    @precondition(lambda self: self.model.state == "paused")
    @rule()
    def resume(self) -> None:
        self._control(campaigns.resume, "sending")

    @precondition(lambda self: self.model.state in {"sending", "paused"} and len(self.model.slices) > 2)
    @rule()
    def cancel(self) -> None:
        self._control(campaigns.cancel, "cancelled")

    @precondition(lambda self: self.model.state != "cancelled")
    @rule(state=st.sampled_from([S.REJECTED, S.DEFERRED]))
    def retry(self, state: S) -> None:
        which = retry_by_hand.Retryable(state.value)
        with self.grounds.factory.begin() as session:
            count = retry_by_hand.retry(session, self.mailing_id, which, actor="test", now=utc_now())
        assert count == self.model.retry(state)

    @precondition(lambda self: any(copy.state is S.UNKNOWN for copy in self.model.copies.values()))
    @rule(data=st.data(), state=st.sampled_from([S.ACCEPTED, S.REJECTED, S.UNKNOWN]))
    def resolve(self, data: st.DataObject, state: S) -> None:
        """Somebody says what became of it, or wants it sent again."""
        if state is S.UNKNOWN and self.model.state == "cancelled":
            return
        found = sorted(position for position, copy in self.model.copies.items() if copy.state is S.UNKNOWN)
        position, at = data.draw(st.sampled_from(found)), utc_now()
        resolution = unknown.Resolution.RESEND if state is S.UNKNOWN else unknown.Resolution(state.value)
        decision = unknown.Decision(resolution, "test", until=at)
        with self.grounds.factory.begin() as session:
            count = unknown.resolve(session, self.mailing_id, [position], decision, at)
        assert count == self.model.resolve(position, state, at)

    @precondition(lambda self: len(self.barred) < AUDIENCE // 2)
    @rule(place=st.integers(0, AUDIENCE - 1))
    def suppress(self, place: int) -> None:
        if self.contacts[place].id not in self.barred:
            self._suppress(place)

    # What the service does by itself

    @rule()
    def time_passes(self) -> None:
        with self.grounds.factory.begin() as session:
            session.execute(_ALL_DUE, {"m": self.mailing_id})
            session.execute(_SLICES_DUE, {"m": self.mailing_id})
        self.model.time_passes()

    @rule()
    def sweep(self) -> None:
        at = utc_now()
        swept = sweep.sweep(self.grounds.factory, self.grounds.settings, at, queue_is_empty=True)
        self.model.sweep(at)
        assert swept.enrolling == [] if self.model.is_enrolled else [self.mailing_id]

    @rule()
    def finish(self) -> None:
        with self.grounds.factory.begin() as session:
            assert dispatch.finish_if_done(session, self.mailing_id, utc_now()) is self.model.finish()

    # What must hold after each of these

    @invariant()
    def the_ledger_is_the_model(self) -> None:
        with self.grounds.factory() as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            mailing = session.execute(_MAILING, {"m": self.mailing_id}).one()
            assert (mailing.state, mailing.settled) == (self.model.state, self.model.is_settled)
            assert self._rows(session) == {p: (c.state, c.due != "never") for p, c in self.model.copies.items()}
            assert self._tries(session) == {
                p: [(t.verdict, t.late, t.is_sweep) for t in c.tries] for p, c in self.model.copies.items() if c.tries
            }
            check_counts(session, self.mailing_id)
            check_carried(session, self.mailing_id)

    @invariant()
    def nobody_is_mailed_oftener_than_somebody_wanted(self) -> None:
        for position, copy in self.model.copies.items():
            assert copy.bodies <= 1 + copy.asked + copy.resent, (position, copy)

    def teardown(self) -> None:
        """Whatever happened, all of it can be brought to its end."""
        if self.model.state == "paused":
            self.resume()
        for _ in range(ROUNDS):
            if self.model.is_settled:
                break
            self._one_round()
        self.the_ledger_is_the_model()
        assert self.model.is_settled
        asked = {position: copy.asked for position, copy in self.model.copies.items()}
        with self.grounds.factory() as session:
            check_settled(session, self.mailing_id, self.grounds.settings, self.wire, asked_again=asked)
        self.relay.close()

    def _one_round(self) -> None:
        for job in self.jobs("answered"):
            assert job.result
            self._settle(job, job.result)
        for place in (0, 1):
            self.kill(place)
        self.enrol()
        self.time_passes()
        self.sweep()
        self.held.clear()
        self.dispatch()
        for slice_id in list(self.model.slices):
            self.tokens += 1
            with self.grounds.factory.begin() as session:
                lease = leases.take(session, slice_id, self.workers[0], self.tokens)
            expected = self.model.take(slice_id, self.workers[0], self.tokens)
            assert (lease is None) is (expected is None)
            if lease is not None:
                self._work_off(lease)
        self.finish()

    def _work_off(self, lease: leases.Lease) -> None:
        held = Held(lease, self.workers[0], [Job(c.claim, utc_now()) for c in lease.copies])
        self.held.append(held)
        for job in held.jobs:
            self._intend(job)
            if job.stage == "going":
                self._send_the_body(job, S.ACCEPTED)
                assert job.result
                self._settle(job, job.result)
        self._let_go(held)

    # Parts of the rules

    def jobs(self, *stages: str) -> list[Job]:
        """Copies in the hands of workers that are at one of these stages."""
        return [job for held in self.held for job in held.jobs if job.stage in stages]

    def idle(self) -> list[Held]:
        """Leases in which nothing is under way: a run lets go at its end only."""
        return [held for held in self.held if all(job.stage in {"held", "done"} for job in held.jobs)]

    def _settle(self, job: Job, result: Result) -> None:
        job.result = result
        assert self._put(result) == ["go"]
        self.model.record(job, result)
        self._close_job(job)

    def _close_job(self, job: Job) -> None:
        job.stage = "done"
        if job not in self.recorded:
            self.recorded.append(job)

    def _result(self, job: Job, was: S, state: S, *, is_due: bool) -> Result:
        now = utc_now()
        due = (now - timedelta(seconds=1) if is_due else now + DAY) if state is S.DEFERRED else None
        said = {"phase": "body" if was is S.SENDING else "rcpt", "code": 250, "reply": "said", "relay_id": 1}
        return Result(job.claim, was, state, job.started_at, now, next_attempt_at=due, **said)  # type: ignore[arg-type]

    def _withdrawal(self, job: Job, *, intended: bool) -> Result:
        trial = Trial(leases.Copy(job.claim, {}, 0, 0, None), 1, job.started_at)
        return withdraw(trial, utc_now(), intended=intended)

    def _put(self, *orders: Claim | Result) -> Sequence[Answer]:
        recorder = self.grounds.recorder

        async def answered() -> Sequence[Answer]:
            put = [recorder.intend(o) if isinstance(o, Claim) else recorder.record(o) for o in orders]
            return list(await asyncio.gather(*put))

        return self.grounds.thread.wait_for(answered())

    def _control(self, act: Any, state: str) -> None:
        with self.grounds.factory.begin() as session:
            act(session, self.mailing_id, actor="test")
        self.model.state = state

    def _suppress(self, place: int) -> None:
        contact = self.contacts[place]
        with self.grounds.factory.begin() as session:
            factories.make_suppression(session, contact.address)
            position = session.scalar(_POSITION, {"m": self.mailing_id, "c": contact.id})
        self.barred.add(contact.id)
        if position is not None:
            self.model.copies[position].barred = True

    def _register(self) -> int:
        with self.grounds.factory.begin() as session:
            return workers.register(session, host="test", pid=1, now=utc_now())

    def _log_body(self, position: int, state: S) -> None:
        relay = self.relay
        key = derive_keys(self.grounds.settings).message_id
        message_id = derive_message_id(key, self.mailing_id, position, "news@example.com")
        common = {"at": utc_now().timestamp(), "connection": 1}
        relay.add(kind="body-complete", message_id=message_id, **common)
        if state is not S.UNKNOWN:
            code = {S.ACCEPTED: 250, S.DEFERRED: 451, S.REJECTED: 550}[state]
            relay.add(kind="reply", step="dot", code=code, **common)
        relay.flush()

    def _rows(self, session: Session) -> dict[int, tuple[str, bool]]:
        rows = session.execute(_ROWS, {"m": self.mailing_id})
        return {row.position: (row.state, row.is_due) for row in rows}

    def _tries(self, session: Session) -> dict[int, list[tuple[str, bool, bool]]]:
        tries: dict[int, list[tuple[str, bool, bool]]] = {}
        for row in session.execute(_TRIES, {"m": self.mailing_id}):
            tries.setdefault(row.position, []).append((row.verdict, row.late, row.is_sweep))
        return tries


_NEW_ROWS = text("""
SELECT position, contact_id FROM deliveries WHERE mailing_id = :m AND position <> ALL (CAST(:known AS bigint[]))
""")
_NEW_SLICES = text("""
SELECT id, positions, first_position, last_position FROM slices
WHERE mailing_id = :m AND id <> ALL (CAST(:known AS bigint[])) ORDER BY id
""")
_MAILING = text("SELECT state, settled_at IS NOT NULL AS settled FROM mailings WHERE id = :m")
_ROWS = text("SELECT position, state, next_attempt_at IS NOT NULL AS is_due FROM deliveries WHERE mailing_id = :m")
_TRIES = text("""
SELECT position, verdict, late, phase = 'sweep' AS is_sweep FROM attempts
WHERE mailing_id = :m ORDER BY position, number
""")
_ALL_DUE = text("""
UPDATE deliveries SET next_attempt_at = now() - interval '1 second'
WHERE mailing_id = :m AND next_attempt_at IS NOT NULL
""")
_SLICES_DUE = text("UPDATE slices SET due_at = NULL WHERE mailing_id = :m AND due_at IS NOT NULL")
_POSITION = text("SELECT position FROM deliveries WHERE mailing_id = :m AND contact_id = :c")
