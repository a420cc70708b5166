"""Working on a ledger of millions of copies: what taking a slice, dealing, sweeping and looking cost, and what they
cost while somebody's old snapshot keeps every version of every row alive."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Engine, text

from bench.options import Options
from bench.report import Report, VoidRun
from bench.scale_tables import Ledger, fill_contacts, fill_ledger
from bench.stand import running_stand
from email_campaign.campaigns.mailings import Mailing
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery import dispatch, leases, sweep, workers
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.record import COMMITS_A_PART
from email_campaign.reports.progress import progress
from email_campaign.reports.queries import Filters, deliveries_of, reasons_of
from email_campaign.settings import Settings

COPIES = 10_000_000
SLICES = 300
RATE = 2_000.0
"""Of either worker; a slice is as large as they come."""
COMMITS_A_SLICE = 60
TAKE_MS = 50.0
PAGE_MS = 100.0


@dataclass
class Costs:
    """Milliseconds, by what was done."""

    found: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Measure what is done inside the `with`."""
        began = time.perf_counter()
        yield
        self.found.setdefault(what, []).append((time.perf_counter() - began) * 1e3)

    def p99(self, what: str) -> float:
        """The 99th percentile."""
        found = sorted(self.found[what])
        return found[min(len(found) - 1, int(len(found) * 0.99))]

    def add_to(self, report: Report, prefix: str) -> None:
        """One row for each thing that was done."""
        for what, found in self.found.items():
            median = sorted(found)[len(found) // 2]
            report.add(f"{prefix}: {what}", self.p99(what), "ms, p99", note=f"median {median:.1f} ms of {len(found)}")


def run(options: Options, report: Report) -> None:
    """Fill the tables, look at the pages, work; then open a snapshot and work on."""
    size = options.counted(COPIES)
    with running_stand() as stand:
        engine: Engine = stand.factory.kw["bind"]
        fill_contacts(engine, 1, size)
        ledger = fill_ledger(engine, stand.factory, size)
        with engine.connect() as connection:
            connection.execute(text("SELECT count(*) FROM contacts"))  # an enrolment has read them just before
        desk = Desk(stand.factory, stand.settings, ledger)
        pages = look_at_pages(stand.factory, ledger, rounds=20)
        quiet, held = Costs(), Costs()
        desk.work(quiet, SLICES)
        with old_snapshot(engine):
            desk.work(held, SLICES)
            late = Costs()
            desk.work(late, SLICES // 3)
            held_pages = look_at_pages(stand.factory, ledger, rounds=20)
    name = f"{size / 1e6:g} M"
    pages.add_to(report, name)
    quiet.add_to(report, name)
    late.add_to(report, f"{name}, old snapshot")
    held_pages.add_to(report, f"{name}, old snapshot")
    report.at_most(f"{name}: taking a slice, ms, p99", quiet.p99("take a slice"), TAKE_MS)
    report.at_most(f"{name}, old snapshot: taking a slice, ms, p99", late.p99("take a slice"), TAKE_MS)
    report.at_most(f"{name}: the campaign page's numbers, ms, p99", pages.p99("progress and reasons"), PAGE_MS)


@contextmanager
def old_snapshot(engine: Engine) -> Iterator[None]:
    """Somebody reads for a long time (a backup, a forgotten session): no version newer than now can be cleared away."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.execute(text("SET idle_in_transaction_session_timeout = 0"))
        connection.execute(text("SELECT count(*) FROM relays"))
        yield


class Desk:
    """Two workers without SMTP: they take slices, and move their rows and counters as the recorder does."""

    def __init__(self, factory: SessionFactory, settings: Settings, ledger: Ledger) -> None:
        self._factory = factory
        self._settings = settings
        self._ledger = ledger
        self._token = 1
        self._commits = 0
        with factory.begin() as session:
            self.workers = [workers.register(session, host="bench", pid=n, now=utc_now()) for n in range(2)]
            session.execute(text("UPDATE workers SET rate_per_second = :rate"), {"rate": RATE})

    def work(self, costs: Costs, slices: int) -> None:
        """Deal out, take, send and let go of so many slices, with a sweep now and then."""
        done = 0
        while done < slices:
            for slice_id in self.deal(costs):
                self._send(costs, slice_id)
                done += 1
            with costs.timed("look for the end"), self._factory.begin() as session:
                dispatch.finish_if_done(session, self._ledger.mailing_id, utc_now())
            with costs.timed("sweep"):
                sweep.sweep(self._factory, self._settings, utc_now(), queue_is_empty=False)
            with self._factory.begin() as session:
                session.execute(text("UPDATE workers SET beat_count = beat_count + 1"))

    def deal(self, costs: Costs) -> list[int]:
        """One dispatch; the slices that would now be published."""
        with costs.timed("deal out"), self._factory.begin() as session:
            published = dispatch.dispatch(session, self._settings, utc_now())
        return [slice_id for window in published for slice_id in window.slice_ids]

    def take(self, slice_id: int) -> leases.Lease:
        """Lease a slice for one of the two."""
        self._token += 1
        with self._factory.begin() as session:
            lease = leases.take(session, slice_id, self.workers[slice_id % 2], self._token)
        if lease is None:
            raise VoidRun(f"Slice {slice_id} was not to be had.")
        return lease

    def let_go(self, lease: leases.Lease) -> None:
        """Close it, or put it back with what is pending."""
        with self._factory.begin() as session:
            leases.let_go(session, lease)

    def count(self, worker_id: int, mailing_id: int, copies: int) -> None:
        """Count one commit of the recorder."""
        self._commits += 1
        row = {"worker": worker_id, "part": self._commits // COMMITS_A_PART, "mailing": mailing_id, "n": copies}
        with self._factory.begin() as session:
            session.execute(_COUNT, row)

    def _send(self, costs: Costs, slice_id: int) -> None:
        with costs.timed("take a slice"):
            lease = self.take(slice_id)
        rows = {"mailing": lease.mailing_id, "positions": [copy.claim.position for copy in lease.copies]}
        for move in (_INTEND, _ACCEPT):
            with self._factory.begin() as session:
                session.execute(move, rows)
        for _ in range(COMMITS_A_SLICE):
            with costs.timed("count a commit"):
                self.count(self.workers[slice_id % 2], lease.mailing_id, len(lease.copies) // COMMITS_A_SLICE)
        with costs.timed("let go of it"):
            self.let_go(lease)


def look_at_pages(factory: SessionFactory, ledger: Ledger, rounds: int) -> Costs:
    """What the pages of the campaign read: its numbers, its reasons, its send log by state."""
    costs = Costs()
    looks: dict[str, Callable[[SessionFactory], None]] = {
        "progress and reasons": lambda f: _read_numbers(f, ledger.mailing_id),
        **{f"log, {state}": _log_reader(ledger.mailing_id, state) for state in DeliveryState},
    }
    for _ in range(rounds):
        for what, look in looks.items():
            with costs.timed(what):
                look(factory)
    return costs


def _read_numbers(factory: SessionFactory, mailing_id: int) -> None:
    with factory() as session:
        progress(session, session.get_one(Mailing, mailing_id), utc_now())
        reasons_of(session, mailing_id)


def _log_reader(mailing_id: int, state: DeliveryState) -> Callable[[SessionFactory], None]:
    query = deliveries_of(mailing_id, Filters(state=state), b"")

    def read(factory: SessionFactory) -> None:
        with factory() as session:
            session.scalars(query.order_by(text("position")).limit(50)).all()

    return read


_INTEND = text("""
UPDATE deliveries SET state = 'sending', changed_at = now()
WHERE mailing_id = :mailing AND position = ANY (:positions) AND state = 'pending'
""")
_ACCEPT = text("""
UPDATE deliveries SET state = 'accepted', changed_at = now(), first_attempt_at = now(), attempt_count = 1
WHERE mailing_id = :mailing AND position = ANY (:positions) AND state = 'sending'
""")
_COUNT = text("""
INSERT INTO counters (mailing_id, worker_id, part, state, count)
VALUES (:mailing, :worker, :part, 'accepted', :n), (:mailing, :worker, :part, 'pending', -CAST(:n AS bigint))
ON CONFLICT (mailing_id, worker_id, part, state) DO UPDATE SET count = counters.count + excluded.count
""")
