"""Late results: what a worker learns of a copy that was taken away from it meanwhile still counts."""

import logging
from dataclasses import replace
from typing import Any, LiteralString

import psycopg
from psycopg.types.json import Jsonb

from email_campaign.campaigns.mailings import SEND_LOCK
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.results import Result

log = logging.getLogger(__name__)

_HELD_BACK: dict[str, Any] = {
    "state": DeliveryState.DEFERRED,
    "reason": "held_back",
    "spared": True,
    "reply": "(the worker had stopped; it held the body back, and no byte of it went out)",
}


def record_late(connection: psycopg.Connection, result: Result, worker_id: int) -> None:
    """Write a result whose fence no longer holds: always an attempt marked late, and it may resolve an unknown row.

    A 250 always does: the recipient has the mail. A refusal, or a body that was held back (which is then deferred),
    only if nothing happened since but that the copy was taken back: else the unknown body is another's, and stays so.
    A deferral opens a finished mailing again; in a cancelled one it becomes cancelled. Safe to repeat: an attempt that
    was committed before (and whose answer was cut) is found by its start, and nothing is written again.
    """
    claim = result.claim
    row = {
        "lock": SEND_LOCK,
        "mailing": claim.mailing_id,
        "position": claim.position,
        "worker": worker_id,
        "started": result.started_at,
    }
    with connection.transaction():
        connection.execute(_LOCK, row)
        mailing_state = _only(connection.execute(_MAILING, row))
        was = _only(connection.execute(_DELIVERY, row))
        if was is None or _only(connection.execute(_KNOWN, row)) is not None:
            return
        resolves = was == DeliveryState.UNKNOWN and (
            result.state == DeliveryState.ACCEPTED or _speaks_of_the_unknown_body(connection, result, row)
        )
        if not result.logged:
            if not resolves:
                return
            result = replace(result, **_HELD_BACK, next_attempt_at=result.finished_at)
        state, next_attempt_at = was, None
        if resolves:
            state, next_attempt_at = str(result.state), result.next_attempt_at
            if state == DeliveryState.DEFERRED and mailing_state == "cancelled":
                state, next_attempt_at = str(DeliveryState.CANCELLED), None
            elif state == DeliveryState.DEFERRED and mailing_state == "finished":
                connection.execute(_REOPEN, row)
            connection.execute(_MOVE, {**row, "state": state, "reason": result.reason, "next": next_attempt_at})
            connection.execute(_COUNT, {**row, "state": was, "change": -1})
            connection.execute(_COUNT, {**row, "state": state, "change": 1})
        connection.execute(
            _LOG,
            {
                **row,
                "relay": result.relay_id,
                "finished": result.finished_at,
                "code": result.code,
                "spared": result.spared,
                "verdict": str(result.state),
                "phase": result.phase,
                "enhanced": result.enhanced_code,
                "reply": result.reply,
                "sha256": result.message_sha256,
                "variables": None if result.variables is None else Jsonb(result.variables),
            },
        )
    log.info("late result for %d-%d: %s, the row is %s", claim.mailing_id, claim.position, result.state, state)


def _speaks_of_the_unknown_body(connection: psycopg.Connection, result: Result, row: dict[str, Any]) -> bool:
    # A verdict on the envelope (was pending) never does: the body that is unknown was begun by somebody else.
    if result.was != DeliveryState.SENDING or result.state == DeliveryState.UNKNOWN:
        return False
    return _only(connection.execute(_TAKEN_BACK_ONCE, row)) is not None


def _only(cursor: psycopg.Cursor[tuple[str]]) -> str | None:
    row = cursor.fetchone()
    return None if row is None else row[0]


_LOCK: LiteralString = "SELECT pg_advisory_xact_lock_shared(%(lock)s::int, %(mailing)s::int)"
_MAILING: LiteralString = "SELECT state FROM mailings WHERE id = %(mailing)s FOR UPDATE"
_DELIVERY: LiteralString = (
    "SELECT state FROM deliveries WHERE mailing_id = %(mailing)s AND position = %(position)s FOR UPDATE"
)
_KNOWN: LiteralString = """
SELECT verdict FROM attempts WHERE mailing_id = %(mailing)s AND position = %(position)s
    AND started_at = %(started)s AND phase <> 'sweep'
"""
_REOPEN: LiteralString = """
WITH opened AS (
    UPDATE mailings SET state = 'sending', finished_at = NULL, settled_at = NULL WHERE id = %(mailing)s RETURNING id
)
INSERT INTO mailing_events (mailing_id, actor, kind, detail)
SELECT id, 'system', 'reopened', 'A late answer of the relay deferred a copy.' FROM opened
"""
# The INTENT of this result was committed. If nothing but one take-back stands in the log since it began, that was ours.
_TAKEN_BACK_ONCE: LiteralString = """
SELECT min(phase) FROM attempts
WHERE mailing_id = %(mailing)s AND position = %(position)s AND finished_at >= %(started)s
HAVING count(*) = 1 AND min(phase) = 'sweep'
"""
_MOVE: LiteralString = """
UPDATE deliveries SET state = %(state)s, reason = %(reason)s, next_attempt_at = %(next)s, changed_at = now()
WHERE mailing_id = %(mailing)s AND position = %(position)s
"""
_COUNT: LiteralString = """
INSERT INTO counters (mailing_id, worker_id, state, count) VALUES (%(mailing)s, %(worker)s, %(state)s, %(change)s)
ON CONFLICT (mailing_id, worker_id, part, state) DO UPDATE SET count = counters.count + excluded.count
"""
_LOG: LiteralString = """
WITH counted AS (
    UPDATE deliveries SET attempt_count = attempt_count + 1, burnt_count = burnt_count + (NOT %(spared)s)::int,
        spared_count = CASE WHEN %(spared)s THEN spared_count + 1 ELSE 0 END
    WHERE mailing_id = %(mailing)s AND position = %(position)s RETURNING mailing_id, position, attempt_count
)
INSERT INTO attempts (mailing_id, position, number, worker_id, relay_id, started_at, finished_at, code, spared, late,
    verdict, phase, enhanced_code, reply, message_sha256, variables)
SELECT mailing_id, position, attempt_count, %(worker)s, %(relay)s, %(started)s, %(finished)s, %(code)s, %(spared)s,
    true, %(verdict)s, %(phase)s, %(enhanced)s, %(reply)s, %(sha256)s, %(variables)s
FROM counted
"""
