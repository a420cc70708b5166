"""A send process: one event-loop thread with its connections, its recorder and its beat, shared by all send tasks."""

import asyncio
import logging
import os
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from datetime import timedelta

import uvloop

from email_campaign import log as logs
from email_campaign import tracing
from email_campaign.campaigns.mailings import halt
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery import leases, relays, workers
from email_campaign.delivery.allowance import Allowance
from email_campaign.delivery.connect import RelayTarget
from email_campaign.delivery.holds import Hold
from email_campaign.delivery.measures import Measures
from email_campaign.delivery.orders import read_limits
from email_campaign.delivery.pool import Pool, PoolRules
from email_campaign.delivery.record import Recorder
from email_campaign.delivery.relay_watch import RelayWatch
from email_campaign.delivery.send import SliceRun
from email_campaign.delivery.shelf import Shelf
from email_campaign.delivery.spent import spent_in_window
from email_campaign.delivery.throttle import Limit
from email_campaign.errors import DomainError
from email_campaign.settings import Settings

log = logging.getLogger(__name__)

RELAY_ID = 1
LIMITS_SECONDS = 0.5
"""How often edited limits are read: a change acts within a second."""
STALE_BEATS = 5
"""A worker whose own beat is older than this many beats starts no body: it may have been declared dead."""
ROOM_SECONDS = 1.0
MEASURABLE_SECONDS = 0.5


class SendProcess:
    """Started once a process, used by its Celery threads through `send_slice`, and closed at the end.

    It is the `Desk` of its runs.
    """

    pool: Pool
    recorder: Recorder
    relay: RelayWatch

    def __init__(self, settings: Settings, factory: SessionFactory) -> None:
        self._settings = settings
        self._factory = factory
        self._held: Counter[int] = Counter()
        self._held_changed = threading.Condition()
        self._shelf = Shelf(factory, settings)
        self._stopping = False
        self._slice_count, self._slice_at = 0, 0.0
        self.relay = RelayWatch(factory, settings, RELAY_ID, self._background, self._set_limits)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp loop", daemon=True)
        with factory.begin() as session:
            self.worker_id = workers.register(session, host=socket.gethostname(), pid=os.getpid(), now=utc_now())
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()

    def send_slice(self, slice_id: int) -> None:
        """Lease the slice and send its copies; returns when it is closed or put back. Safe to repeat."""
        if self._stopping:
            with self._factory.begin() as session:
                leases.leave(session, slice_id)
            return
        # Held before the lease is committed: the beat gives back what is leased and not held.
        self._hold(slice_id, 1)
        try:
            with self._factory.begin() as session:
                lease = leases.take(session, slice_id, self.worker_id, secrets.randbits(62))
            if lease is None:
                return
            self._slice_count, self._slice_at = self._slice_count + 1, time.time()
            ids = {"mailing": lease.mailing_id, "slice": slice_id, "worker": self.worker_id}
            with logs.ids(**ids), tracing.span("slice", {**ids, "copies": len(lease.copies)}):
                try:
                    hold = self._run(lease)
                except DomainError as error:
                    hold = self._halt(lease.mailing_id, error)
            with self._factory.begin() as session:
                due_at, reason = (hold.until, hold.reason) if hold else (None, None)
                leases.let_go(session, lease, due_at=due_at, hold_reason=reason)
        finally:
            self._hold(slice_id, -1)

    def stop_soon(self) -> None:
        """Start no more bodies; runs put back what they have not sent."""
        self._stopping = True

    def close(self, seconds: float) -> None:
        """Wait for the bodies under way, commit what is known, say good-bye to the relay and sign off.

        Each of these takes `seconds` at most.
        """
        self.stop_soon()
        with self._held_changed:
            self._held_changed.wait_for(lambda: not self._held, seconds)
        committed = self.recorder.close(seconds)
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(seconds)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(seconds)
        if committed:
            with self._factory.begin() as session:
                workers.sign_off(session, self.worker_id)

    # What the runs ask of the process (send.Desk)

    def may_start_body(self) -> bool:
        """Whether the process is not stopping and beat not long ago."""
        age = self._loop.time() - self._beat_at
        return not self._stopping and age < STALE_BEATS * self._settings.worker_beat_seconds

    def grant_now(self, mailing_id: int) -> bool:
        """Leave to send one mail at once: no limit is set, or some of the last lot is left."""
        return self._allowance.take_now(mailing_id)

    async def grant(self, mailing_id: int) -> Hold | None:
        """Leave to send one mail now, or until when to hold."""
        wait = await self._allowance.grant(mailing_id)
        return None if wait is None else Hold("limit", utc_now() + timedelta(seconds=wait))

    # The loop's own work

    async def _open(self) -> None:
        settings = self._settings
        self._beat_at = self._loop.time()
        self._seen_count, self._run_count, self._busy_seconds, self._busy_since = 0, 0, 0.0, 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._allowance = Allowance(settings.redis_url, self._worker_count, self._recall)
        self._live_workers = 1
        rules = PoolRules(
            settings.send_connections,
            settings.smtp_connection_messages,
            settings.smtp_connection_seconds,
            settings.smtp_idle_seconds,
        )
        self.pool = Pool(RelayTarget.from_settings(settings), rules)
        conninfo = settings.database_url.replace("+psycopg", "", 1)
        self.recorder = Recorder(conninfo, self.worker_id, self._loop)
        self._background(self._beat_forever())
        self._background(self._read_limits_forever())

    def _background(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await self.pool.close()
        await self._allowance.close()

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.worker_beat_seconds)
            began = self._loop.time()
            try:
                await asyncio.to_thread(self._beat, self._measure_rate())
                self._beat_at = began
                await self.pool.close_idle()
            except Exception:
                log.exception("the beat failed; it is tried again")

    def _measure_rate(self) -> float | None:
        """Mails per second of being at work since the last beat; None when that was too short to tell."""
        now, count = self._loop.time(), self.recorder.answered_count
        seen_count, self._seen_count = self._seen_count, count
        busy, self._busy_seconds = self._busy_seconds, 0.0
        if self._run_count:
            busy += now - self._busy_since
            self._busy_since = now
        return (count - seen_count) / busy if busy >= MEASURABLE_SECONDS else None

    def _beat(self, rate: float | None) -> None:
        with self._factory.begin() as session:
            alive = workers.beat(
                session,
                self.worker_id,
                rate_per_second=rate,
                connection_count=self.pool.open_count,
                measures=self._measures(),
            )
            if not alive:
                # Declared dead while it was stopped: what it held has been taken back, it goes on as a new worker.
                now = utc_now()
                self.worker_id = workers.register(session, host=socket.gethostname(), pid=os.getpid(), now=now)
                self.recorder.worker_id = self.worker_id
            self._live_workers = workers.count_alive(session)
            self.relay.hear_at_the_beat(relays.get(session, RELAY_ID))
            leased = workers.leases_of(session, self.worker_id)
        for lost in leased:
            if not self._held[lost.slice_id]:
                self._give_back(lost)

    def _measures(self) -> Measures:
        times = self.recorder.commit_times
        return Measures(
            answered_count=self.recorder.answered_count,
            slice_count=self._slice_count,
            slice_at=self._slice_at,
            granted_count=self._allowance.granted_count,
            refused_count=self._allowance.refused_count,
            commit_seconds=times.seconds,
            commit_groups=times.groups,
            commit_retry_count=times.retry_count,
            opened_count=self.pool.opened_count,
            dropped_count=self.pool.dropped_count,
            idle_now=self.pool.idle_count,
            most_connections=self._settings.send_connections,
        )

    def _give_back(self, lost: workers.Leased) -> None:
        """A lease whose commit was not answered: this process does not know of it."""
        with self._factory.begin() as session:
            why = "The worker lost sight of this copy while its body was going out."
            leases.take_back(session, lost, why=why)

    def _hold(self, slice_id: int, change: int) -> None:
        with self._held_changed:
            self._held[slice_id] += change
            if not self._held[slice_id]:
                del self._held[slice_id]
                self._held_changed.notify_all()

    async def _read_limits_forever(self) -> None:
        while True:
            await asyncio.sleep(LIMITS_SECONDS)
            if not self._allowance.mailing_ids:
                continue
            try:
                await self._set_limits()
            except Exception:
                log.exception("the limits could not be read; the last known ones hold")

    async def _set_limits(self) -> None:
        self._allowance.set_limits(await asyncio.to_thread(self._read_limits, self._allowance.mailing_ids))

    def _run(self, lease: leases.Lease) -> Hold | None:
        with self._shelf.order(lease.mailing_id) as order:
            if order is None:
                return Hold("room", utc_now() + timedelta(seconds=ROOM_SECONDS))
            run = SliceRun(self, lease, order.letterhead, order.press, order.relay_id, order.rules)
            unwatched = self._allowance.enter(lease.mailing_id)
            try:
                if unwatched:
                    self._allowance.set_limits(self._read_limits([lease.mailing_id]))
                return asyncio.run_coroutine_threadsafe(self._at_work(run), self._loop).result()
            finally:
                self._allowance.leave(lease.mailing_id)

    def _halt(self, mailing_id: int, error: DomainError) -> Hold:
        """The words, or the key that signs them, were fit at the launch and are no more: people must see to it."""
        log.error("mailing %d is paused: %s", mailing_id, error)
        with self._factory.begin() as session:
            halt(session, mailing_id, f"Its mail cannot be written any more. {error}")
        return Hold("not now")

    async def _at_work(self, run: SliceRun) -> Hold | None:
        if not self._run_count:
            self._busy_since = self._loop.time()
        self._run_count += 1
        try:
            return await run.run(self._settings.send_connections)
        finally:
            self._run_count -= 1
            if not self._run_count:
                self._busy_seconds += self._loop.time() - self._busy_since

    def _read_limits(self, mailing_ids: list[int]) -> dict[int, tuple[Limit, ...]]:
        with self._factory() as session:
            self.relay.hear_with_the_limits(relays.get(session, RELAY_ID))
            return read_limits(session, mailing_ids, utc_now())

    async def _recall(self, limit: Limit, is_lost: bool) -> list[tuple[float, int]]:
        return await asyncio.to_thread(self._read_spent, limit, is_lost)

    def _read_spent(self, limit: Limit, is_lost: bool) -> list[tuple[float, int]]:
        with self._factory() as session:
            return spent_in_window(session, limit, with_grants_in_hand=is_lost)

    def _worker_count(self) -> int:
        return self._live_workers
