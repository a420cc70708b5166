"""Whether the service does its work, told from what was done lately: sweeps, tasks taken, beats, copies due."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from email_campaign.delivery.measures import Measures
from email_campaign.delivery.workers import Worker
from email_campaign.settings import Settings
from email_campaign.tasks.signs import SWEEP, signs

SWEEP_LATE = timedelta(seconds=60)
TAKEN_LATE = timedelta(seconds=120)
"""The longest task lasts 60 s, and the relay's slowest replies hold up the threads of a send process for as long."""
DUE_LATE = timedelta(seconds=600)
"""A reply to the final dot may take ten minutes (RFC 5321), and until then nobody else's turn comes."""
BEATS_LATE = 12
BEAT_LATE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must go on. `seen` is a sentence; `mend` what to do where it does not."""

    name: str
    ok: bool
    seen: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Overdue:
    """A mailing that is sent, and of which copies wait since `since` for no reason that is known."""

    mailing_id: int
    relay: str
    since: datetime


def checks(session: Session, settings: Settings, depths: Mapping[str, int] | None, now: datetime) -> list[Check]:
    """Every check. `depths` are the messages that wait in each queue, None when the broker does not answer.

    Reads rows of what is under way alone: its cost does not grow with what was sent.
    """
    known = signs(session)
    return [
        Check("database", ok=True, seen="It answers."),
        _broker(depths),
        _sweep(known.get(SWEEP), settings, now),
        *(_taken(queue, known.get(queue), depths or {}, now) for queue in ("control", "work")),
        _send(session, settings, depths or {}, now),
        _due(session, now),
    ]


def without_database(depths: Mapping[str, int] | None) -> list[Check]:
    """What can be said when no row can be read."""
    mend = "Start Postgres, or make room on its disk; keep the workers running, they hold results in memory."
    return [Check("database", ok=False, seen="The database does not answer.", mend=mend), _broker(depths)]


def overdue(session: Session, now: datetime) -> list[Overdue]:
    """Mailings with copies that could go out and do not get their turn, the longest wait first.

    Left out is what waits for a known reason: paused, a relay that is paused or away, a limit.
    """
    rows = session.execute(_OVERDUE, {"now": now})
    return sorted((Overdue(*row) for row in rows), key=lambda one: one.since)


def living_workers(session: Session, settings: Settings, now: datetime) -> list[Worker]:
    """Send processes that beat lately; one that was killed a moment ago is not among them for long."""
    late = max(BEATS_LATE * settings.worker_beat_seconds, BEAT_LATE_SECONDS)
    alive = select(Worker).where(Worker.ended_at.is_(None), Worker.beat_at > now - timedelta(seconds=late))
    return list(session.scalars(alive.order_by(Worker.id)))


def _broker(depths: Mapping[str, int] | None) -> Check:
    if depths is None:
        mend = "Start Redis, or correct REDIS_URL. Nothing is lost meanwhile: rows say what is to be done."
        return Check("broker", ok=False, seen="The broker does not answer.", mend=mend)
    waiting = sum(depths.values())
    return Check("broker", ok=True, seen=f"It answers; {waiting:,} message{'s' * (waiting != 1)} wait in its queues.")


def _sweep(at: datetime | None, settings: Settings, now: datetime) -> Check:
    late = max(SWEEP_LATE, timedelta(seconds=12 * settings.sweep_seconds))
    ok = at is not None and now - at <= late
    seen = f"The last sweep ended {_ago(at, now)}." if at else "No sweep was ever seen to its end."
    return Check("sweep", ok, seen, "" if ok else "Start beat, and the worker of the queue control; read their logs.")


def _taken(queue: str, at: datetime | None, depths: Mapping[str, int], now: datetime) -> Check:
    waiting = depths.get(queue, 0)
    ok = not waiting or (at is not None and now - at <= TAKEN_LATE)
    taken = f"The last task was taken from it {_ago(at, now)}" if at else "No task was ever seen to be taken from it"
    mend = "" if ok else f"Start a worker that consumes {queue}; if one is running, read its log and restart it."
    return Check(queue, ok, f"{taken}; {waiting:,} wait.", mend)


def _send(session: Session, settings: Settings, depths: Mapping[str, int], now: datetime) -> Check:
    workers = living_workers(session, settings, now)
    waiting = sum(count for queue, count in depths.items() if queue.startswith("send"))
    if not workers:
        mend = "Start a worker that consumes send.system and send."
        return Check("send", ok=False, seen=f"No send worker beats; {waiting:,} tasks wait.", mend=mend)
    taken_at = max(Measures.read(worker.measures).slice_at for worker in workers)
    at = datetime.fromtimestamp(taken_at, now.tzinfo) if taken_at else None
    born = min(worker.started_at for worker in workers)
    ok = not waiting or now - (at or born) <= TAKEN_LATE
    count = f"{len(workers)} send worker{'s' * (len(workers) != 1)}"
    seen = f"{count}; the last slice was taken {_ago(at, now) if at else 'never'}; {waiting:,} tasks wait."
    return Check("send", ok, seen, "" if ok else "Read the send workers' logs; restart them if the relay is well.")


def _due(session: Session, now: datetime) -> Check:
    waiting = overdue(session, now)
    if not waiting:
        return Check("due", ok=True, seen="No copy waits that could go out.")
    first = waiting[0]
    ok = now - first.since <= DUE_LATE
    seen = f"Copies of mailing {first.mailing_id} wait for their turn since {_ago(first.since, now, '')}."
    return Check("due", ok, seen, "" if ok else "Read the logs of the control worker and of the send workers.")


def _ago(at: datetime | None, now: datetime, word: str = " ago") -> str:
    if at is None:
        return "never"
    seconds = max(0.0, (now - at).total_seconds())
    return f"{seconds:,.0f} s{word}" if seconds < 120 else f"{seconds / 60:,.0f} min{word}"


def database_size(session: Session) -> int:
    """Bytes of this database on the server's disk."""
    return session.scalar(select(func.pg_database_size(func.current_database()))) or 0


# Counted from the mailing's last event at the earliest: what waited while it was paused did not wait for us.
_OVERDUE = text("""
SELECT id, relay, greatest(since, last_event_at) AS since FROM (
    SELECT m.id, r.name AS relay,
        (SELECT e.at FROM mailing_events e WHERE e.mailing_id = m.id ORDER BY e.id DESC LIMIT 1) AS last_event_at,
        least(
            (SELECT min(d.next_attempt_at) FROM deliveries d WHERE d.mailing_id = m.id AND d.next_attempt_at <= :now),
            CASE WHEN EXISTS (SELECT FROM stretches t WHERE t.mailing_id = m.id AND t.frontier <= t.last_position)
                OR EXISTS (SELECT FROM slices s WHERE s.mailing_id = m.id AND s.closed_at IS NULL
                    AND s.published_at IS NULL AND s.worker_id IS NULL AND (s.due_at IS NULL OR s.due_at <= :now))
            THEN coalesce((SELECT w.opened_at FROM windows w WHERE w.mailing_id = m.id ORDER BY w.id DESC LIMIT 1),
                m.launched_at) END
        ) AS since
    FROM mailings m JOIN relays r ON r.id = m.relay_id
    WHERE m.state = 'sending' AND m.settled_at IS NULL AND r.state = 'active' AND r.failure_count = 0
        AND NOT EXISTS (SELECT FROM slices s
            WHERE s.mailing_id = m.id AND s.closed_at IS NULL AND s.hold_reason = 'limit' AND s.due_at > :now)
) waiting WHERE since <= :now
""")
