"""Sending: what happens to every copy of a leased slice, from the grant to the recorded reply.

compose → grant → MAIL, RCPT, DATA → INTENT is committed → the body → RESULT is committed. Read `SliceRun` and `_Line`
from top to bottom and you know how a mail leaves.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from email_campaign.campaigns.mailings import OF_ONE
from email_campaign.clock import utc_now
from email_campaign.content.language import RenderError
from email_campaign.delivery.compose import Letterhead, Press
from email_campaign.delivery.conclude import RetryRules, Trial, conclude, withdraw
from email_campaign.delivery.connect import ConnectFailed
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.holds import Hold
from email_campaign.delivery.leases import Copy, Lease
from email_campaign.delivery.places import Rank
from email_campaign.delivery.pool import Pool
from email_campaign.delivery.record import Answer, Recorder
from email_campaign.delivery.relay_watch import RelayWatch
from email_campaign.delivery.replies import (
    Blame,
    Outcome,
    Phase,
    Verdict,
    is_complaint,
    judge,
    judge_drop,
    own_words,
)
from email_campaign.delivery.slowing import Complaint
from email_campaign.delivery.smtp import Connection, Dropped, Said

log = logging.getLogger(__name__)

RENDER_ERROR = Verdict(Outcome.REJECTED, "render_error", Blame.SENDER)


class Desk(Protocol):
    """What the send process does for its runs."""

    pool: Pool
    recorder: Recorder
    relay: RelayWatch

    def may_start_body(self) -> bool:
        """Whether this process still beats and is not stopping."""

    def grant_now(self, mailing_id: int) -> bool:
        """Leave to send one mail at once, as far as it is at hand."""

    async def grant(self, mailing_id: int) -> Hold | None:
        """Wait up to a second for leave to send one mail; a Hold when it takes longer."""


@dataclass
class SliceRun:
    """One lease being worked off on as many connections as are free."""

    desk: Desk
    lease: Lease
    letterhead: Letterhead
    press: Press
    relay_id: int
    rules: RetryRules
    hold: Hold | None = None
    _todo: deque[Copy] = field(default_factory=deque)
    _commits: deque["asyncio.Future[Answer]"] = field(default_factory=deque)

    @property
    def rank(self) -> Rank:
        """Whose copies go first in this process."""
        if self.letterhead.kind in OF_ONE:
            return Rank.SYSTEM
        return Rank.SINGLE if len(self.lease.copies) == 1 else Rank.BULK

    @property
    def goes_on(self) -> bool:
        """Whether copies are left, and no reason to hold."""
        return bool(self._todo) and self.hold is None

    async def run(self, connections: int) -> Hold | None:
        """Send every copy, or stop at the first reason to hold. Returns when all results are committed."""
        self._todo.extend(self.lease.copies)
        lines = (_Line(self).work() for _ in range(min(connections, len(self._todo))))
        # All come to their end even when one breaks: what the others have on the wire is still to be recorded.
        ends = await asyncio.gather(*lines, return_exceptions=True)
        self.desk.recorder.hurry()
        await asyncio.gather(*self._commits)
        for broken in filter(None, ends):
            raise broken
        return self.hold

    def next_trial(self) -> Trial | None:
        """The next copy with its message; None when none is left or there is a reason to hold.

        A copy that cannot be rendered is rejected, and the others go on.
        """
        while self.goes_on:
            if not self.desk.may_start_body():
                self.hold = Hold("stopping")
                break
            if trial := self._compose(self._todo.popleft()):
                return trial
        return None

    def settle(self, trial: Trial, was: DeliveryState, verdict: Verdict, said: Said) -> None:
        """Hand the result to the recorder. Its commit is awaited at the end of the run; the next mail goes on."""
        if verdict.spared:
            trial = trial._replace(others_pass=self.desk.relay.mail_passes())
        result = conclude(trial, was, verdict, (said.phase, said.reply), self.rules, utc_now())
        self._commits.append(self.desk.recorder.record(result))
        while self._commits and self._commits[0].done():
            self._commits.popleft()

    def _compose(self, copy: Copy) -> Trial | None:
        started = utc_now()
        try:
            message = self.press.compose(copy.claim.position, copy.recipient, started)
        except MemoryError:
            raise  # nothing about this contact
        except Exception as error:
            # Not only RenderError: what the message of one contact breaks on, it would break on again and again.
            if not isinstance(error, RenderError):
                log.exception("the message of %d-%d cannot be composed", *copy.claim.key)
            trial = Trial(copy, self.relay_id, started)
            self.settle(trial, DeliveryState.PENDING, RENDER_ERROR, Said(Phase.RENDER, own_words(str(error))))
            return None
        return Trial(copy, self.relay_id, started, message)


class _Line:
    """One place of a run: copies go out over a connection one after the other, each envelope with the body before it
    where the relay allows it, over a new connection when the last one came to harm."""

    def __init__(self, run: SliceRun) -> None:
        self._run = run
        self._desk = run.desk
        self._connection: Connection | None = None

    async def work(self) -> None:
        """Take copies until none is left or the run holds. Between two copies it gives way to a higher rank."""
        while self._run.goes_on:
            async with self._desk.pool.places.place(self._run.rank):
                try:
                    trial = self._run.next_trial()
                    while trial is not None and self._run.hold is None:
                        trial = await self._send(trial)
                finally:
                    connection, self._connection = self._connection, None
                    if connection is not None:
                        await self._desk.pool.give_back(connection)

    async def _send(self, trial: Trial) -> Trial | None:
        """Bring one copy as far as it comes; returns the next one."""
        connection = await self._envelope(trial)
        if connection is None:
            return self._next()
        intent = self._desk.recorder.intend(trial.copy.claim)
        following = self._next()  # composed while Postgres commits
        if await self._may_go(trial, await intent, connection):
            await self._body(trial, connection, following)
        return following

    def _next(self) -> Trial | None:
        return None if self._desk.pool.places.is_wanted(self._run.rank) else self._run.next_trial()

    async def _envelope(self, trial: Trial) -> Connection | None:
        """MAIL, RCPT and DATA; the connection that waits for the body. One that was closed between two mails is
        replaced without a word."""
        while True:
            connection = self._connection = self._connection or await self._connect()
            if connection is None or not (connection.has_envelope_ahead or await self._granted(trial)):
                return None
            reused = connection.message_count > 0
            try:
                refusal = await connection.envelope(self._run.letterhead.from_address, trial.copy.address)
            except Dropped as drop:
                self._drop(str(drop))
                if reused and drop.phase in {Phase.CONNECT, Phase.MAIL}:
                    continue
                await self._dropped(trial, DeliveryState.PENDING, drop)
                return None
            if refusal is None:
                return connection
            if reused and refusal.phase is Phase.MAIL and refusal.reply.code == 421:
                self._drop("421 between two mails")
                continue
            await self._answered(trial, DeliveryState.PENDING, refusal)
            return None

    async def _may_go(self, trial: Trial, answer: Answer, connection: Connection) -> bool:
        """After the 354: the body goes out only once Postgres has the INTENT; else the line is cut without the dot."""
        recorder = self._desk.recorder
        if answer != "go":
            self._drop(f"the intent was answered {answer!r}")
            if answer == "not now":
                # The INTENT may have been committed by an earlier try whose answer was cut, and the mailing paused
                # since: then the row is `sending`, and nobody else would ever touch it.
                await recorder.record(withdraw(trial, utc_now(), intended=False))
                self._run.hold = self._run.hold or Hold("not now")
            return False
        if not connection.is_open or not self._desk.may_start_body():
            self._drop("closed before the body")
            await recorder.record(withdraw(trial, utc_now(), intended=True))
            self._run.hold = self._run.hold or Hold("withdrawn")
            return False
        return True

    async def _body(self, trial: Trial, connection: Connection, following: Trial | None) -> None:
        """The body, and the envelope of the copy that follows if it may go now: this body waits for nothing."""
        message, then = trial.message, None
        assert message is not None
        if following is not None and self._may_go_along(connection, following):
            then = (self._run.letterhead.from_address, following.copy.address)
        try:
            said = await connection.body(message.own, then, message.behind)
        except Dropped as drop:
            self._drop(str(drop))
            await self._dropped(trial, DeliveryState.SENDING, drop)
        else:
            await self._answered(trial, DeliveryState.SENDING, said)

    def _may_go_along(self, connection: Connection, following: Trial) -> bool:
        return (
            connection.is_pipelining
            and self._run.hold is None
            and self._desk.pool.may_keep(connection)
            and self._desk.grant_now(following.copy.claim.mailing_id)
        )

    async def _answered(self, trial: Trial, was: DeliveryState, said: Said) -> None:
        """The relay gave a verdict; any reply to the final dot is definite."""
        verdict = judge(said.phase, said.reply)
        self._run.settle(trial, was, verdict, said)
        if verdict.outcome is Outcome.ACCEPTED:
            self._desk.relay.mail_passed()
            return
        await self._note_relay(trial, verdict, said)
        if verdict.hangup or verdict.credentials_refused:
            self._drop("the reply ends the connection")

    async def _dropped(self, trial: Trial, was: DeliveryState, drop: Dropped) -> None:
        """No answer: before the body the copy is tried again, after it nobody can say (RFC 1047)."""
        if drop.farewell is not None and drop.farewell.code == 421 and was is DeliveryState.PENDING:
            verdict, reply = judge(drop.phase, drop.farewell), drop.farewell
        else:
            verdict, reply = judge_drop(drop.phase, str(drop)), own_words(str(drop))
        self._run.settle(trial, was, verdict, Said(drop.phase, reply))
        await self._note_relay(trial, verdict, Said(drop.phase, reply))

    async def _granted(self, trial: Trial) -> bool:
        mailing_id = trial.copy.claim.mailing_id
        if not self._desk.grant_now(mailing_id):
            self._run.hold = self._run.hold or await self._desk.grant(mailing_id)
        return self._run.hold is None

    async def _connect(self) -> Connection | None:
        run = self._run
        try:
            if not self._desk.pool.has_idle and (hold := run.hold or self._desk.relay.hold()):
                # What was published before the relay failed does not storm it.
                run.hold = hold
                return None
            connection = await self._desk.pool.take()
        except ConnectFailed as error:
            run.hold = await self._desk.relay.failed(str(error), credentials_refused=error.credentials_refused)
            return None
        if not connection.message_count:
            self._desk.relay.answers()
        return connection

    async def _note_relay(self, trial: Trial, verdict: Verdict, said: Said) -> None:
        """Credentials that are refused stop the relay; a 421, a drop or a 4.7.28 slows it."""
        reply = said.reply
        words = " ".join(filter(None, [str(reply.code or ""), reply.enhanced, reply.text]))
        if verdict.credentials_refused:
            self._run.hold = await self._desk.relay.failed(words, credentials_refused=True)
        elif is_complaint(verdict, reply):
            domain = trial.copy.address.rpartition("@")[2]
            named = said.phase not in {Phase.CONNECT, Phase.MAIL}
            self._desk.relay.complains(Complaint(words, domain if named else None))

    def _drop(self, why: str) -> None:
        if self._connection is not None:
            self._desk.pool.drop(self._connection, why)
            self._connection = None
