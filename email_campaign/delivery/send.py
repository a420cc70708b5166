"""Sending: what happens to every copy of a leased slice, from the grant to the recorded reply.

compose → grant → MAIL, RCPT, DATA → INTENT is committed → the body → RESULT is committed. Read `SliceRun` from top to
bottom and you know how a mail leaves.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from email_campaign.clock import utc_now
from email_campaign.content.language import RenderError
from email_campaign.delivery.compose import Keys, Letterhead, Message, compose
from email_campaign.delivery.conclude import RetryRules, Trial, conclude, withdraw
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.leases import Copy, Lease
from email_campaign.delivery.pool import Pool
from email_campaign.delivery.record import Answer, Recorder
from email_campaign.delivery.replies import Blame, Outcome, Phase, Reply, Verdict, judge, judge_drop, own_words
from email_campaign.delivery.smtp import ConnectFailed, Connection, Dropped, Refusal

log = logging.getLogger(__name__)

RENDER_ERROR = Verdict(Outcome.REJECTED, "render_error", Blame.SENDER)


@dataclass(frozen=True, slots=True)
class Hold:
    """Why the rest of a slice goes back, and until when (None: at once)."""

    reason: str
    until: datetime | None = None


class Desk(Protocol):
    """What the send process does for its runs."""

    pool: Pool
    recorder: Recorder

    def may_start_body(self) -> bool:
        """Whether this process still beats and is not stopping."""

    async def grant(self, mailing_id: int) -> Hold | None:
        """Wait up to a second for leave to send one mail; a Hold when it takes longer."""

    async def relay_failed(self, error: str, *, credentials_refused: bool) -> Hold:
        """Note that the relay cannot be used; how long to keep away from it."""

    def relay_hold(self) -> Hold | None:
        """Until when no connection is opened, since the relay failed just now."""

    def relay_worked(self) -> None:
        """Note that the relay took a mail."""


@dataclass
class SliceRun:
    """One lease being worked off on as many connections as are free."""

    desk: Desk
    lease: Lease
    letterhead: Letterhead
    keys: Keys
    relay_id: int
    rules: RetryRules
    _hold: Hold | None = None
    _todo: deque[Copy] = field(default_factory=deque)
    _commits: deque["asyncio.Future[Answer]"] = field(default_factory=deque)

    async def run(self, connections: int) -> Hold | None:
        """Send every copy, or stop at the first reason to hold. Returns when all results are committed."""
        self._todo.extend(self.lease.copies)
        workers = (self._work() for _ in range(min(connections, len(self._todo))))
        # All come to their end even when one breaks: what the others have on the wire is still to be recorded.
        ends = await asyncio.gather(*workers, return_exceptions=True)
        await asyncio.gather(*self._commits)
        for broken in filter(None, ends):
            raise broken
        return self._hold

    async def _work(self) -> None:
        """Take copies until none is left, over one connection after the other."""
        async with self.desk.pool.place():
            connection: Connection | None = None
            try:
                while self._todo and self._hold is None:
                    if not self.desk.may_start_body():
                        self._hold = Hold("stopping")
                        break
                    connection = await self._compose(self._todo.popleft(), connection)
            finally:
                if connection is not None:
                    await self.desk.pool.give_back(connection)

    async def _compose(self, copy: Copy, connection: Connection | None) -> Connection | None:
        """The message of one copy; one that cannot be rendered is rejected, and the others go on."""
        started = utc_now()
        try:
            message = compose(self.letterhead, self.keys, copy.claim.position, copy.recipient, started)
        except MemoryError:
            raise  # nothing about this contact
        except Exception as error:
            # Not only RenderError: what the message of one contact breaks on, it would break on again and again.
            if not isinstance(error, RenderError):
                log.exception("the message of %d-%d cannot be composed", *copy.claim.key)
            trial = Trial(copy, self.relay_id, started)
            self._settle(trial, DeliveryState.PENDING, RENDER_ERROR, (Phase.RENDER, own_words(str(error))))
            return connection
        return await self._envelope(Trial(copy, self.relay_id, started, message), message, connection)

    async def _envelope(self, trial: Trial, message: Message, connection: Connection | None) -> Connection | None:
        """MAIL, RCPT and DATA; a connection that was closed between two mails is replaced once, without a word."""
        while True:
            if connection is None and (connection := await self._connect()) is None:
                return None
            reused = connection.message_count > 0
            self._hold = self._hold or await self.desk.grant(trial.copy.claim.mailing_id)
            if self._hold is not None:
                return connection
            try:
                refusal = await connection.envelope(self.letterhead.from_address, trial.copy.address)
            except Dropped as drop:
                self.desk.pool.drop(connection, str(drop))
                connection = None
                if reused and drop.phase in {Phase.CONNECT, Phase.MAIL}:
                    continue
                await self._dropped(trial, DeliveryState.PENDING, drop)
                return None
            if refusal is None:
                return await self._intent(trial, message, connection)
            if reused and refusal.phase is Phase.MAIL and refusal.reply.code == 421:
                self.desk.pool.drop(connection, "421 between two mails")
                connection = None
                continue
            return await self._answered(trial, DeliveryState.PENDING, refusal, connection)

    async def _intent(self, trial: Trial, message: Message, connection: Connection) -> Connection | None:
        """After the 354: the body goes out only once Postgres has the INTENT; else the line is cut without the dot."""
        answer = await self.desk.recorder.intend(trial.copy.claim)
        if answer != "go":
            self.desk.pool.drop(connection, f"the intent was answered {answer!r}")
            if answer == "not now":
                # The INTENT may have been committed by an earlier try whose answer was cut, and the mailing paused
                # since: then the row is `sending`, and nobody else would ever touch it.
                await self.desk.recorder.record(withdraw(trial, utc_now(), intended=False))
                self._hold = self._hold or Hold("not now")
            return None
        if not connection.is_open or not self.desk.may_start_body():
            self.desk.pool.drop(connection, "closed before the body")
            await self.desk.recorder.record(withdraw(trial, utc_now(), intended=True))
            self._hold = self._hold or Hold("withdrawn")
            return None
        try:
            reply = await connection.body(message.data)
        except Dropped as drop:
            self.desk.pool.drop(connection, str(drop))
            await self._dropped(trial, DeliveryState.SENDING, drop)
            return None
        return await self._answered(trial, DeliveryState.SENDING, Refusal(Phase.BODY, reply), connection)

    async def _answered(
        self, trial: Trial, was: DeliveryState, answer: Refusal, connection: Connection
    ) -> Connection | None:
        """The relay gave a verdict; any reply to the final dot is definite."""
        verdict = judge(answer.phase, answer.reply)
        self._settle(trial, was, verdict, (answer.phase, answer.reply))
        if verdict.outcome is Outcome.ACCEPTED:
            self.desk.relay_worked()
        await self._note_relay(verdict, answer.phase, f"{answer.reply.code} {answer.reply.text}")
        if verdict.hangup or verdict.credentials_refused:
            self.desk.pool.drop(connection, "the reply ends the connection")
            return None
        return connection

    async def _dropped(self, trial: Trial, was: DeliveryState, drop: Dropped) -> None:
        """No answer: before the body the copy is tried again, after it nobody can say (RFC 1047)."""
        if drop.farewell is not None and drop.farewell.code == 421 and was is DeliveryState.PENDING:
            verdict, reply = judge(drop.phase, drop.farewell), drop.farewell
        else:
            verdict, reply = judge_drop(drop.phase, str(drop)), own_words(str(drop))
        self._settle(trial, was, verdict, (drop.phase, reply))
        await self._note_relay(verdict, drop.phase, reply.text)

    async def _connect(self) -> Connection | None:
        try:
            if not self.desk.pool.has_idle and (self._hold or self.desk.relay_hold()):
                # What was published before the relay failed does not storm it.
                self._hold = self._hold or self.desk.relay_hold()
                return None
            return await self.desk.pool.take()
        except ConnectFailed as error:
            self._hold = await self.desk.relay_failed(str(error), credentials_refused=error.credentials_refused)
            return None

    async def _note_relay(self, verdict: Verdict, phase: Phase, words: str) -> None:
        """A relay that turns us away before any recipient was named is left alone for a while."""
        turned_away = verdict.spared and verdict.blame is Blame.RELAY and phase in {Phase.CONNECT, Phase.MAIL}
        if turned_away or verdict.credentials_refused:
            self._hold = await self.desk.relay_failed(words, credentials_refused=verdict.credentials_refused)

    def _settle(self, trial: Trial, was: DeliveryState, verdict: Verdict, said: tuple[Phase, Reply]) -> None:
        """Hand the result to the recorder. Its commit is awaited at the end of the run; the next mail goes on."""
        self._commits.append(self.desk.recorder.record(conclude(trial, was, verdict, said, self.rules, utc_now())))
        while self._commits and self._commits[0].done():
            self._commits.popleft()
