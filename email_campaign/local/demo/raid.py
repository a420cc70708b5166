"""The raid of the crash demo: a send worker and the broker are killed with bodies under way, and the clock is read."""

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.local.demo import ledger
from email_campaign.local.demo.client import DemoFailed
from email_campaign.local.demo.ledger import Busy

BROKER = "valkey"
SEND_WORKERS = "send"
STRIKES = 2
WORKER_AT, BROKER_AT = 0.2, 0.45
"""Shares of the audience that are settled when each is killed."""


@dataclass(slots=True)
class Strike:
    """One kill: who, when, with how many bodies under way, and what came of it."""

    name: str
    killed_at: datetime
    body_count: int
    dead: Busy | None = None
    """The send worker that was killed, with what it held."""
    back_at: datetime | None = None
    """When the first mail of newly handed-out work was accepted."""

    @property
    def back_seconds(self) -> float | None:
        """From the kill until the service was back at work; None when it never was."""
        return (self.back_at - self.killed_at).total_seconds() if self.back_at else None


class Raid:
    """Kills in the middle of one campaign. `pids` names the process groups of the run as they are now."""

    def __init__(
        self, factory: SessionFactory, pids: Callable[[], Mapping[str, int]], say: Callable[[str, str], None]
    ) -> None:
        self._factory = factory
        self._pids = pids
        self._say = say
        self.strikes: list[Strike] = []

    def refuse_what_is_not_ours(self) -> None:
        """Raises DemoFailed where there is no worker or broker of this run to kill."""
        pids = self._pids()
        if BROKER not in pids:
            raise DemoFailed("It kills the broker, and REDIS_URL names one that is not ours: leave it unset.")
        if not any(name.startswith(SEND_WORKERS) for name in pids):
            raise DemoFailed("No send worker runs here that could be killed.")

    def look(self, campaign: Mapping[str, Any]) -> None:
        """Called several times a second: strike when it is time, and see whether work goes on after the last strike."""
        counts, mailing_id = campaign["counts"], int(campaign["id"])
        settled = sum(counts.values()) - counts["pending"] - counts["sending"]
        share = settled / campaign["audience"] if campaign["is_enrolled"] and campaign["audience"] else 0.0
        self._read_the_clock(mailing_id)
        if not self.strikes and share >= WORKER_AT:
            self._kill_the_busiest_worker(mailing_id, settled)
        elif len(self.strikes) == 1 and self.strikes[0].back_at and share >= BROKER_AT:
            self._kill_the_broker(mailing_id, settled)

    def _read_the_clock(self, mailing_id: int) -> None:
        for strike in self.strikes:
            if strike.back_at is None:
                with self._factory() as session:
                    strike.back_at = ledger.back_at_work(session, mailing_id, strike.killed_at)
                if strike.back_seconds is not None:
                    self._say("Back", f"at work {strike.back_seconds:.1f} s after {strike.name} was killed")

    def _kill_the_busiest_worker(self, mailing_id: int, settled: int) -> None:
        names = {pid: name for name, pid in self._pids().items() if name.startswith(SEND_WORKERS)}
        for worker in self._busy(mailing_id):
            if worker.pid in names:
                strike = Strike(names[worker.pid], utc_now(), worker.body_count, worker)
                self._strike(strike, worker.pid, settled)
                return

    def _kill_the_broker(self, mailing_id: int, settled: int) -> None:
        pid = self._pids().get(BROKER)
        if pid and (body_count := sum(worker.body_count for worker in self._busy(mailing_id))):
            self._strike(Strike(BROKER, utc_now(), body_count), pid, settled)

    def _strike(self, strike: Strike, pid: int, settled: int) -> None:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it ended by itself: the next look finds its successor
        except PermissionError as error:
            msg = f"{strike.name} runs as somebody else, who alone may kill it."
            raise DemoFailed(msg) from error
        self.strikes.append(strike)
        self._say("Killed", f"{strike.name} (kill -9): {strike.body_count} bodies under way, {settled:,} settled")

    def _busy(self, mailing_id: int) -> list[Busy]:
        with self._factory() as session:
            return ledger.busy_workers(session, mailing_id)
