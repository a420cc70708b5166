"""The ledger in plain Python: what rows, slices and a mailing must be after each step, without a database (F27)."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from email_campaign.delivery.deliveries import DeliveryState as S
from email_campaign.delivery.results import Claim, Result

Due = Literal["never", "now", "later"]
Stage = Literal["held", "going", "answered", "done"]


@dataclass
class Try:
    """An attempt as it must stand in the log."""

    verdict: str
    late: bool
    is_sweep: bool
    started_at: datetime
    finished_at: datetime


@dataclass
class Copy:
    """One row. `carrier`: the slice that it is in. `bodies`: how many the relay has, or may have. `asked`: how
    many more than one somebody asked for, knowing that one may have gone out; `resent`: likewise the policy."""

    state: S
    barred: bool
    carrier: int | None = None
    due: Due = "never"
    tries: list[Try] = field(default_factory=list)
    bodies: int = 0
    asked: int = 0
    resent: int = 0

    @property
    def waits_for_resend(self) -> bool:
        """Whether the policy *resend* has not had its one turn."""
        unknown = sum(t.verdict == S.UNKNOWN and not t.late for t in self.tries)
        return self.state is S.UNKNOWN and self.due == "never" and unknown <= 1


@dataclass
class Slice:
    """What a worker may lease. The token stays when it is closed."""

    positions: frozenset[int]
    token: int | None = None
    worker_id: int | None = None
    is_closed: bool = False
    is_due: bool = True


@dataclass(eq=False)
class Job:
    """A copy in the hands of a worker, who may have lost the lease without knowing it."""

    claim: Claim
    started_at: datetime
    stage: Stage = "held"
    result: Result | None = None


class Model:
    """A mailing of which everything is known."""

    def __init__(self, *, resends: bool) -> None:
        self.resends = resends
        self.state = "sending"
        self.is_enrolled = self.is_settled = False
        self.copies: dict[int, Copy] = {}
        self.slices: dict[int, Slice] = {}
        self.dead_workers: set[int] = set()
        self.beyond: set[int] = set()
        """Positions beyond the frontier of their stretch."""

    # What a worker does

    def take(self, slice_id: int, worker_id: int, token: int) -> set[int] | None:
        """Positions that the lease must carry; None when the slice is not to be had."""
        wanted = self.slices[slice_id]
        if wanted.is_closed or wanted.worker_id is not None or not wanted.is_due or self.state != "sending":
            return None
        wanted.worker_id, wanted.token, wanted.is_due = worker_id, token, True
        return {p for p in wanted.positions if self._carries(slice_id, p) and self.copies[p].state is S.PENDING}

    def intend(self, job: Job) -> str:
        """The answer to an INTENT."""
        copy = self.copies[job.claim.position]
        if not self._holds(job) or self.state != "sending":
            return "not now"
        if copy.state is S.PENDING and copy.barred:
            copy.state = S.SKIPPED
            return "skipped"
        if copy.state in {S.PENDING, S.SENDING}:
            copy.state = S.SENDING
            return "go"
        return "not now"

    def record(self, job: Job, result: Result) -> None:
        """A RESULT arrives, in time or late, for the first time or again."""
        copy = self.copies[job.claim.position]
        if self._holds(job) and copy.state is result.was:
            copy.state, copy.due = result.state, _due(result)
            if result.logged:
                self._log(copy, result, late=False)
        elif result.phase:
            self._record_late(copy, result)

    def let_go(self, slice_id: int, token: int, *, is_due: bool) -> bool:
        """Whether the slice is closed by it."""
        held = self.slices[slice_id]
        if held.token != token:
            return False
        held.worker_id, held.is_closed = None, not self._open_rows(slice_id)
        if not held.is_closed:
            held.token, held.is_due = None, is_due
        return held.is_closed

    # What people do

    def retry(self, state: S) -> int:
        """How many become due because somebody asked."""
        count = 0
        for copy in self.copies.values():
            if copy.state is state and copy.due != "now":
                count += 1
                copy.due = "now"
        if count and self.state == "finished":
            self._reopen()
        return count

    def resolve(self, position: int, state: S, at: datetime) -> bool:
        """Whether somebody who knows, or wants it sent again (`UNKNOWN`), finds the copy still unknown."""
        copy = self.copies[position]
        if copy.state is not S.UNKNOWN or (state is S.UNKNOWN and copy.due == "now"):
            return False
        if state is S.UNKNOWN:
            copy.due = "now"
            copy.asked += 1
            if self.state == "finished":
                self._reopen()
        else:
            copy.state, copy.due = state, "never"
        copy.tries.append(Try(state, late=False, is_sweep=False, started_at=at, finished_at=at))
        return True

    # What the service does by itself

    def time_passes(self) -> None:
        """Everything that waits for a time is due."""
        for copy in self.copies.values():
            if copy.due == "later":
                copy.due = "now"
        for each in self.slices.values():
            each.is_due = True

    def dealt(self, slice_id: int, positions: Collection[int]) -> None:
        """A slice that was not there before: rows that were due again, or fresh ones, and no others."""
        assert self.state == "sending"
        assert positions
        fresh = {position for position in positions if position in self.beyond}
        for position in positions:
            copy = self.copies[position]
            if position not in fresh:
                assert copy.due == "now", (position, copy)
                copy.state, copy.due = S.PENDING, "never"
            copy.carrier = slice_id
        assert fresh in (set(), set(positions))
        self.beyond -= fresh
        self.slices[slice_id] = Slice(frozenset(positions))

    def take_back(self, slice_id: int, token: int, at: datetime) -> None:
        """From a worker that is gone, or that does not know of its lease."""
        lost = self.slices[slice_id]
        if lost.token != token or lost.worker_id is None or lost.is_closed:
            return
        for position in lost.positions:
            copy = self.copies[position]
            if self._carries(slice_id, position) and copy.state is S.SENDING:
                copy.state = S.UNKNOWN
                copy.tries.append(Try(S.UNKNOWN, late=False, is_sweep=True, started_at=at, finished_at=at))
        lost.worker_id, lost.token, lost.is_due = None, None, True
        lost.is_closed = not self._open_rows(slice_id)

    def sweep(self, at: datetime) -> None:
        """Takes back from the dead, cancels and finishes."""
        for slice_id, held in self.slices.items():
            if held.worker_id in self.dead_workers and not held.is_closed:
                assert held.token is not None
                self.take_back(slice_id, held.token, at)
        if self.state == "cancelled" and not self.is_settled:
            self._cancel_rows()
        if self.resends and self.state in {"sending", "paused"}:
            for copy in self.copies.values():
                if copy.waits_for_resend:
                    copy.due = "later"
                    copy.resent += 1
        self.finish()

    def finish(self) -> bool:
        """Whether nothing is left to do, and this is when it is noticed."""
        if self.state not in {"sending", "cancelled"} or self.is_settled or not self.is_enrolled:
            return False
        if self.beyond or any(not each.is_closed for each in self.slices.values()):
            return False
        if any(copy.due != "never" for copy in self.copies.values()):
            return False
        if self.state == "sending" and self.resends and any(copy.waits_for_resend for copy in self.copies.values()):
            return False
        self.is_settled = True
        self.state = "finished" if self.state == "sending" else self.state
        return True

    def _cancel_rows(self) -> None:
        for copy in self.copies.values():
            copy.due = "never"
            if copy.state in {S.PENDING, S.DEFERRED}:
                copy.state = S.CANCELLED
        self.beyond.clear()
        for slice_id, each in self.slices.items():
            if each.worker_id is None and not each.is_closed:
                each.is_closed = not self._open_rows(slice_id)

    def _record_late(self, copy: Copy, result: Result) -> None:
        if any(t.started_at == result.started_at and not t.is_sweep for t in copy.tries):
            return
        since = [t for t in copy.tries if t.finished_at >= result.started_at]
        # Nothing but the take-back happened since: the unknown attempt is the one that this result speaks of.
        is_its_own = result.was is S.SENDING and len(since) == 1 and since[0].is_sweep
        if not result.logged:
            if copy.state is S.UNKNOWN and is_its_own:
                copy.state, copy.due = self._late_deferral("now")
                copy.tries.append(Try(S.DEFERRED, True, False, result.started_at, result.finished_at))
            return
        resolves = result.state is S.ACCEPTED or (result.state is not S.UNKNOWN and is_its_own)
        if copy.state is S.UNKNOWN and resolves:
            copy.state, copy.due = (
                self._late_deferral(_due(result)) if result.state is S.DEFERRED else (result.state, "never")
            )
        self._log(copy, result, late=True)

    def _late_deferral(self, due: Due) -> tuple[S, Due]:
        if self.state == "cancelled":
            return S.CANCELLED, "never"
        if self.state == "finished":
            self._reopen()
        return S.DEFERRED, due

    def _reopen(self) -> None:
        self.state, self.is_settled = "sending", False

    def _log(self, copy: Copy, result: Result, *, late: bool) -> None:
        copy.tries.append(Try(result.state, late, False, result.started_at, result.finished_at))

    def _open_rows(self, slice_id: int) -> Iterable[int]:
        return [
            position
            for position in self.slices[slice_id].positions
            if self._carries(slice_id, position) and self.copies[position].state in {S.PENDING, S.SENDING}
        ]

    def _carries(self, slice_id: int, position: int) -> bool:
        return self.copies[position].carrier == slice_id

    def _holds(self, job: Job) -> bool:
        claim = job.claim
        return self.slices[claim.slice_id].token == claim.token and self._carries(claim.slice_id, claim.position)


def _due(result: Result) -> Due:
    if result.next_attempt_at is None:
        return "never"
    return "now" if result.next_attempt_at <= result.finished_at else "later"
