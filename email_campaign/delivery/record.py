"""The recorder: one thread that commits intents and results of all connections of a process, many in one commit.

Nothing goes out whose INTENT is not committed, and nothing is forgotten whose RESULT came in while Postgres was away.
"""

import asyncio
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, LiteralString

import psycopg

from email_campaign import tracing
from email_campaign.campaigns.mailings import SEND_LOCK
from email_campaign.delivery import arrays
from email_campaign.delivery.attempts import UNSTORED_REPLY
from email_campaign.delivery.late import record_late
from email_campaign.delivery.measures import CommitTimes
from email_campaign.delivery.pipeline import Pipeline, Statement
from email_campaign.delivery.results import Claim, Result

log = logging.getLogger(__name__)

RESULT_WAIT_SECONDS = 0.05
"""A result waits this long for an intent to share the commit with."""
MAX_BATCH = 256
CROWD = 16
"""After a commit of so many orders more are about to come in."""
GATHER_STEP_SECONDS = 0.001
GATHER_SECONDS = 0.005
COMMITS_A_PART = 1024
"""So many commits add to the same rows of the counters, then to new ones."""
RECONNECT_SECONDS = (0.2, 5.0)

Answer = Literal["go", "skipped", "not now"]


@dataclass(slots=True)
class _Item:
    order: Claim | Result
    future: "asyncio.Future[Answer]"
    since: float = field(default_factory=time.monotonic)

    @property
    def claim(self) -> Claim:
        return self.order if isinstance(self.order, Claim) else self.order.claim


class Recorder:
    """Owns one connection and one thread; the event loop hands it orders and awaits their commit."""

    def __init__(self, conninfo: str, worker_id: int, loop: asyncio.AbstractEventLoop) -> None:
        self._conninfo = conninfo
        self.worker_id = worker_id
        self._loop = loop
        self._queue: deque[_Item] = deque()
        self._wake = threading.Condition()
        self._is_waiting = False
        self._commit_count = 0
        self._is_hurried = False
        self._closing = False
        self._last_count = 0
        self._connection: tuple[psycopg.Connection, Pipeline] | None = None
        self.answered_count = 0
        self.commit_times = CommitTimes()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def intend(self, claim: Claim) -> "asyncio.Future[Answer]":
        """INTENT: may the body of this row go out? Called in the loop; answered after the commit."""
        return self._put(claim)

    def record(self, result: Result) -> "asyncio.Future[Answer]":
        """RESULT: answered `go` once it is committed. Called in the loop; never lost while the process lives."""
        return self._put(result)

    def hurry(self) -> None:
        """A run has come to its end: its results need not wait for an intent that may not come."""
        with self._wake:
            self._is_hurried = True
            self._wake.notify()

    def close(self, timeout: float) -> bool:
        """Commit what is there and stop; False when Postgres did not take it within `timeout` seconds."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _put(self, order: Claim | Result) -> "asyncio.Future[Answer]":
        item = _Item(order, self._loop.create_future())
        self._queue.append(item)
        if self._is_waiting:  # while it commits it looks for itself what has come meanwhile
            with self._wake:
                self._wake.notify()
        return item.future

    def _run(self) -> None:
        while batch := self._next_batch():
            with tracing.span("commit", {"worker": self.worker_id, "rows": len(batch)}):
                answers = self._commit(batch)
            self.commit_times.add(time.monotonic() - batch[0].since)
            self.answered_count += sum(1 for item in batch if isinstance(item.order, Result) and item.order.logged)
            self._loop.call_soon_threadsafe(_deliver, batch, answers)
        self._disconnect()

    def _next_batch(self) -> list[_Item]:
        """Everything that is waiting, once an intent is among it or the oldest result has waited long enough."""
        with self._wake:
            self._is_waiting = True
            while not self._closing:
                if not self._queue:
                    self._wake.wait()
                    continue
                patience = self._queue[0].since + RESULT_WAIT_SECONDS - time.monotonic()
                if (
                    patience <= 0
                    or self._is_hurried
                    or any(isinstance(item.order, Claim) for item in tuple(self._queue))
                ):
                    break
                self._wake.wait(patience)
            self._is_waiting = self._is_hurried = False
        self._gather()
        batch: list[_Item] = []
        rows: set[tuple[int, int]] = set()
        # One row stands at most once in a statement: the next order for it begins the next batch.
        while self._queue and len(batch) < MAX_BATCH and self._queue[0].claim.key not in rows:
            rows.add(self._queue[0].claim.key)
            batch.append(self._queue.popleft())
        return batch

    def _gather(self) -> None:
        """While many mails are under way, wait as long as more orders come: one commit for all costs half of two."""
        until = time.monotonic() + GATHER_SECONDS
        count = 0
        while self._last_count >= CROWD and count < len(self._queue) < MAX_BATCH and time.monotonic() < until:
            count = len(self._queue)
            time.sleep(GATHER_STEP_SECONDS)
        self._last_count = len(self._queue)

    def _commit(self, batch: list[_Item]) -> list[Answer]:
        """Commit the batch, however long Postgres stays away; a row that poisons it is committed by itself."""
        wait, longest = RECONNECT_SECONDS
        while True:
            try:
                return self._commit_once([item.order for item in batch])
            except (psycopg.DataError, psycopg.IntegrityError, ValueError, TypeError, OverflowError) as error:
                # Its transaction is still open on this connection: what comes next must not be judged by it.
                self._disconnect()
                if len(batch) > 1:
                    return [answer for item in batch for answer in self._commit([item])]
                answer = self._commit_poisonous(batch[0], error)
                if answer is not None:
                    return [answer]
                time.sleep(wait)
            except Exception as error:
                # Whatever it is, this thread must live: everybody waits for it, and the results are here alone.
                log.warning("Postgres did not take %d rows, trying again: %s", len(batch), type(error).__name__)
                self.commit_times.retry_count += 1
                self._disconnect()
                time.sleep(wait)
                wait = min(wait * 2, longest)

    def _commit_poisonous(self, item: _Item, error: Exception) -> Answer | None:
        """A row that Postgres refuses for what is in it: an intent does not go, a result goes without its words."""
        claim = item.claim
        name = type(error).__name__
        ids = {"mailing": claim.mailing_id, "position": claim.position}
        log.error("row %d-%d was refused by Postgres: %s", claim.mailing_id, claim.position, name, extra=ids)
        if isinstance(item.order, Claim):
            return "not now"
        words = f"{UNSTORED_REPLY}: {name})"
        bare = replace(item.order, reply=words, variables=None, code=None, enhanced_code=None)
        if item.order == bare:
            return None
        item.order = bare
        return self._commit([item])[0]

    def _commit_once(self, orders: Sequence[Claim | Result]) -> list[Answer]:
        results = sorted((o for o in orders if isinstance(o, Result)), key=lambda o: o.claim.key)
        claims = sorted(o for o in orders if isinstance(o, Claim))
        mailing_ids = sorted({o.claim.mailing_id for o in results} | {o.mailing_id for o in claims})
        connection, pipeline = self._connect()
        # The lock has a statement of its own: what the next one reads is newer than any pause that held it.
        statements = [Statement("BEGIN"), Statement(_LOCK, [str(SEND_LOCK), arrays.of_numbers(mailing_ids)])]
        if suppressed := [o for o in results if o.suppress_address is not None]:
            statements.append(Statement(_SUPPRESS, _suppression_columns(suppressed)))
        self._commit_count += 1
        numbers = [str(self.worker_id), str(self._commit_count // COMMITS_A_PART)]
        columns = [*_result_columns(results), *_claim_columns(claims), *numbers]
        *_, recorded, _ = pipeline.run([*statements, Statement(_RECORD, columns), Statement("COMMIT")])
        rows = {(int(mailing_id), int(position)): state.decode() for mailing_id, position, state in recorded}  # type: ignore[arg-type, union-attr]
        for result in results:
            if result.claim.key not in rows and result.phase:
                record_late(connection, result, self.worker_id)
        return [_answer(order, rows) for order in orders]

    def _connect(self) -> tuple[psycopg.Connection, Pipeline]:
        if self._connection is None:
            connection = psycopg.connect(
                self._conninfo,
                autocommit=True,
                connect_timeout=5,
                # A Postgres that vanished without a word (a cable, a frozen machine) is given up after some 20 s.
                keepalives_idle=5,
                keepalives_interval=5,
                keepalives_count=3,
                tcp_user_timeout=20_000,
                application_name="email-campaign recorder",
                # One plan for all: to plan this statement anew costs as much as to run it for thirty mails. It must not
                # depend on how small a table was when it was made.
                options="-c timezone=UTC -c idle_in_transaction_session_timeout=10s"
                " -c plan_cache_mode=force_generic_plan -c enable_seqscan=off",
            )
            self._connection = connection, Pipeline(connection)
        return self._connection

    def _disconnect(self) -> None:
        connected, self._connection = self._connection, None
        if connected is not None:
            connected[0].close()


def _deliver(batch: Sequence[_Item], answers: Sequence[Answer]) -> None:
    for item, answer in zip(batch, answers, strict=True):
        if not item.future.done():
            item.future.set_result(answer)


def _answer(order: Claim | Result, rows: dict[tuple[int, int], str]) -> Answer:
    if isinstance(order, Result):
        return "go"
    return {"sending": "go", "skipped": "skipped"}.get(rows[order.key], "not now") if order.key in rows else "not now"  # type: ignore[return-value]


def _result_columns(results: Sequence[Result]) -> list[str]:
    return [
        *_claim_columns([r.claim for r in results]),
        arrays.of_texts([r.was for r in results]),
        arrays.of_texts([r.state for r in results]),
        arrays.of_texts([r.reason for r in results]),
        arrays.of_times([r.next_attempt_at for r in results]),
        arrays.of_numbers([r.spared for r in results]),
        arrays.of_numbers([r.logged for r in results]),
        arrays.of_numbers([r.relay_id for r in results]),
        arrays.of_times([r.started_at for r in results]),
        arrays.of_times([r.finished_at for r in results]),
        arrays.of_texts([r.phase for r in results]),
        arrays.of_numbers([r.code for r in results]),
        arrays.of_texts([r.enhanced_code for r in results]),
        arrays.of_texts([r.reply for r in results]),
        arrays.of_bytes([r.message_sha256 for r in results]),
        arrays.of_texts([None if r.variables is None else _json(r.variables) for r in results]),
    ]


def _claim_columns(claims: Sequence[Claim]) -> list[str]:
    return [
        arrays.of_numbers([c.mailing_id for c in claims]),
        arrays.of_numbers([c.position for c in claims]),
        arrays.of_numbers([c.slice_id for c in claims]),
        arrays.of_numbers([c.token for c in claims]),
    ]


def _suppression_columns(results: Sequence[Result]) -> list[str]:
    return [
        arrays.of_numbers([r.claim.mailing_id for r in results]),
        arrays.of_numbers([r.claim.position for r in results]),
        arrays.of_texts([r.suppress_address for r in results]),
        arrays.of_texts([r.reply[:500] for r in results]),
    ]


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_LOCK: LiteralString = "SELECT pg_advisory_xact_lock_shared($1::int, m::int) FROM unnest($2::bigint[]) AS m"

_SUPPRESS: LiteralString = """
INSERT INTO suppressions (address_hash, address, reason, detail, mailing_id)
SELECT d.address_hash, x.address, 'hard_bounce', x.detail, d.mailing_id
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS x(mailing_id, position, address, detail)
JOIN deliveries d USING (mailing_id, position)
ON CONFLICT (address_hash) DO NOTHING
"""

# `u.list_id + 0`: before the first ANALYZE the planner would take the index over list and state, and read a whole list
# for every row.
_RECORD: LiteralString = """
WITH r AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[],
        $8::timestamptz[], $9::bool[], $10::bool[], $11::bigint[], $12::timestamptz[], $13::timestamptz[], $14::text[],
        $15::smallint[], $16::text[], $17::text[], $18::bytea[], $19::jsonb[])
    AS r(mailing_id, position, slice_id, token, was, state, reason, next_attempt_at, spared, logged, relay_id,
        started_at, finished_at, phase, code, enhanced_code, reply, message_sha256, variables)
), done AS (
    UPDATE deliveries d
    SET state = r.state, reason = r.reason, next_attempt_at = r.next_attempt_at, changed_at = r.finished_at,
        first_attempt_at = coalesce(d.first_attempt_at, CASE WHEN r.logged THEN r.started_at END),
        attempt_count = d.attempt_count + r.logged::int,
        burnt_count = d.burnt_count + (r.logged AND NOT r.spared)::int,
        spared_count = CASE WHEN r.spared THEN d.spared_count + 1 WHEN r.logged THEN 0 ELSE d.spared_count END
    FROM r JOIN slices s ON s.id = r.slice_id AND s.token = r.token
    WHERE d.mailing_id = r.mailing_id AND d.position = r.position AND d.state = r.was
        AND d.slice_id IS NOT DISTINCT FROM CASE WHEN s.positions IS NOT NULL THEN s.id END
    RETURNING d.mailing_id, d.position, r.was, d.state, d.attempt_count
), logged AS (
    INSERT INTO attempts (mailing_id, position, number, worker_id, relay_id, started_at, finished_at, code, spared,
        late, verdict, phase, enhanced_code, reply, message_sha256, variables)
    SELECT r.mailing_id, r.position, done.attempt_count, $24::bigint, r.relay_id, r.started_at, r.finished_at, r.code,
        r.spared, false, r.state, r.phase, r.enhanced_code, r.reply, r.message_sha256, r.variables
    FROM done JOIN r USING (mailing_id, position) WHERE r.logged
), gate AS MATERIALIZED (
    SELECT i.mailing_id, i.position, d.state,
        m.state = 'sending' AND s.id IS NOT NULL
            AND d.slice_id IS NOT DISTINCT FROM CASE WHEN s.positions IS NOT NULL THEN s.id END AS open,
        CASE
            WHEN m.kind <> 'system'
                AND EXISTS (SELECT FROM suppressions x WHERE x.address_hash = d.address_hash) THEN 'suppressed'
            WHEN m.kind IN ('campaign', 'transactional') AND NOT EXISTS (
                SELECT FROM subscriptions u
                WHERE u.contact_id = d.contact_id AND u.list_id + 0 = ANY (m.list_ids) AND u.state = 'confirmed'
            ) THEN 'unsubscribed'
        END AS barred
    FROM unnest($20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[]) AS i(mailing_id, position, slice_id, token)
    JOIN mailings m ON m.id = i.mailing_id
    JOIN deliveries d ON d.mailing_id = i.mailing_id AND d.position = i.position
    LEFT JOIN slices s ON s.id = i.slice_id AND s.token = i.token
), gone AS (
    UPDATE deliveries d
    SET state = CASE WHEN g.barred IS NULL THEN 'sending' ELSE 'skipped' END, reason = g.barred, changed_at = now()
    FROM gate g
    WHERE d.mailing_id = g.mailing_id AND d.position = g.position AND d.state = 'pending' AND g.open
    RETURNING d.mailing_id, d.position, d.state
), moved AS (
    INSERT INTO counters (mailing_id, worker_id, part, state, count)
    SELECT mailing_id, $24::bigint, $25::int, state, sum(change) FROM (
        SELECT mailing_id, was AS state, -1 AS change FROM done
        UNION ALL SELECT mailing_id, state, 1 FROM done
        UNION ALL SELECT mailing_id, 'pending', -1 FROM gone
        UNION ALL SELECT mailing_id, state, 1 FROM gone
    ) AS changes GROUP BY mailing_id, state HAVING sum(change) <> 0
    ON CONFLICT (mailing_id, worker_id, part, state) DO UPDATE SET count = counters.count + excluded.count
)
SELECT mailing_id, position, state FROM done
UNION ALL
SELECT g.mailing_id, g.position,
    coalesce(gone.state, CASE WHEN g.open AND g.state = 'sending' THEN 'sending' ELSE 'not now' END)
FROM gate g LEFT JOIN gone USING (mailing_id, position)
"""
