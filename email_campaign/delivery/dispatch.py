"""Dispatch: which slices are published next, so that every mailing gets its turn and little waits in the queue."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import OF_ONE, Mailing, MailingState, get_for_update, move
from email_campaign.delivery import slowing
from email_campaign.delivery.relays import Relay, RelayState
from email_campaign.delivery.slicing import Share, deal
from email_campaign.delivery.throttle import fastest_rate
from email_campaign.delivery.unknown_policy import WAITS_FOR_RESEND
from email_campaign.delivery.windows import DISPATCH_LOCK, Window
from email_campaign.settings import Settings

LONG_WAIT_SECONDS = 100.0
"""A mailing that waits longer than this for a limit gets no new slices; the sweep looks again soon enough by far."""
IN_FLIGHT_SECONDS = 4.5
"""What is published and not done with is at most this much at the present throughput: who is launched next waits for
no more, and no process has all its threads in the slices of one mailing."""
WINDOW_SECONDS = 1.5
"""A window is a third of that: the next one is there before the one before it has ended."""
STRAGGLING_SECONDS = 10.0
"""A slice that was taken longer ago waits for a slow reply. It holds nobody up, so it counts no more."""
SLICES_IN_A_WINDOW = 200
WINDOWS_IN_FLIGHT = 3
"""Windows of a mailing with slices that nobody has taken yet."""
SMALL_MAILING = 2_000
SLOW_PER_SECOND = 150.0
"""Up to this size, or under a limit as low as this, a task carries one recipient."""
FIRST_GUESS_PER_SECOND = 200.0
"""What a send process is believed to do before it has measured itself."""
MAX_SLICE = 1_000
"""To read more rows at once takes long, and their mails' connections wait for it."""
SLICES_OF_A_PROCESS = 16
"""In flight at most: the threads of a process are more, so that copies by themselves find a free one."""


@dataclass(frozen=True, slots=True)
class Published:
    """A window that is now to be published as a chord."""

    window_id: int
    mailing_id: int
    slice_ids: Sequence[int]
    is_system: bool


def dispatch(session: Session, settings: Settings, now: datetime) -> list[Published]:
    """Open windows for every mailing that has work, round-robin, up to what the relay does in some seconds.

    What is returned must be published after the commit; a window that is not is found by the sweep. Safe to repeat.
    """
    session.execute(select(func.pg_advisory_xact_lock(DISPATCH_LOCK)))
    published = []
    for relay in session.scalars(select(Relay).order_by(Relay.id)).all():
        if relay.state is RelayState.PAUSED or (relay.retry_at is not None and relay.retry_at > now):
            continue
        published += _dispatch_relay(session, relay, settings, now)
    return published


def dispatch_one(session: Session, mailing_id: int, settings: Settings, now: datetime) -> Published | None:
    """Like `dispatch`, for a mailing of one that need not wait for its turn; None leaves it to `dispatch`.

    Without the dispatch lock: a stretch is cut by one at a time. Safe to repeat.
    """
    mailing = session.get_one(Mailing, mailing_id)
    relay = session.get_one(Relay, mailing.relay_id)
    if mailing.state is not MailingState.SENDING or relay.state is RelayState.PAUSED or relay.failure_count:
        return None
    opened = _open_window(session, mailing, Share(1, 1), settings, now)
    return opened[0] if opened else None


def finish_if_done(session: Session, mailing_id: int, now: datetime) -> bool:
    """Take a mailing of which nothing is left to do to `finished`; a cancelled one is settled. Safe to repeat.

    Decided from rows under the mailing's lock, never from a chord's word: enrolled to the end, every stretch cut, no
    slice open, nothing due to be tried again, nothing unknown that the policy is to send again. Looks before it locks:
    an enrolment holds the lock for most of its time.
    """
    if session.execute(_SOMETHING_LEFT, {"mailing": mailing_id}).scalar():
        return False
    mailing = get_for_update(session, mailing_id)
    if mailing.state not in {MailingState.SENDING, MailingState.CANCELLED} or mailing.settled_at is not None:
        return False
    if session.execute(_SOMETHING_LEFT, {"mailing": mailing_id}).scalar():
        return False
    mailing.settled_at = now
    if mailing.state is MailingState.SENDING:
        mailing.finished_at = now
        move(session, mailing, MailingState.FINISHED, actor="system")
    return True


def close_window(session: Session, window_id: int) -> None:
    """The chord's tasks have all returned. One of which a slice is still open is left to the sweep. Safe to repeat."""
    session.execute(_CLOSE_WINDOW, {"window": window_id})


def _dispatch_relay(session: Session, relay: Relay, settings: Settings, now: datetime) -> list[Published]:
    waiting = _without_the_held(session, list(session.scalars(_sending(relay.id))), now)
    if not waiting:
        return []
    if relay.failure_count:
        return _probe(session, relay, waiting, settings, now)
    allowed = _relay_limit(relay, now)
    rate, processes = _throughput(session, allowed)
    in_flight = {row.mailing_id: row for row in session.execute(_IN_FLIGHT, _in_flight_of(waiting))}
    room = _room(allowed, rate, processes, sum(row.rows for row in in_flight.values()))
    windows = {mailing_id: row.windows for mailing_id, row in in_flight.items()}
    published = []
    while waiting:  # in turns, until there is no room or nothing to do
        went_on = []
        for turn, mailing in enumerate(waiting):
            is_full = room <= 0 and mailing.kind not in OF_ONE
            if is_full or windows.get(mailing.id, 0) >= WINDOWS_IN_FLIGHT:
                continue
            share = _share(mailing, allowed, rate, processes, settings)
            fair = math.ceil(room / (len(waiting) - turn))
            # A full slice at least: many small ones would cost more than they are fair.
            rows = min(share.rows, max(fair, share.rows_per_slice))
            opened = _open_window(session, mailing, Share(rows, share.rows_per_slice), settings, now)
            if opened is not None:
                published.append(opened[0])
                room -= opened[1]
                windows[mailing.id] = windows.get(mailing.id, 0) + 1
                if opened[1] >= rows:
                    went_on.append(mailing)
        waiting = went_on
    return published


def _in_flight_of(mailings: Sequence[Mailing]) -> dict[str, Any]:
    return {"mailings": [mailing.id for mailing in mailings], "straggling": STRAGGLING_SECONDS}


def _without_the_held(session: Session, mailings: list[Mailing], now: datetime) -> list[Mailing]:
    """Those that are not known to wait long for a limit: more of their copies would only come back."""
    values = {"mailings": [mailing.id for mailing in mailings], "after": now + timedelta(seconds=LONG_WAIT_SECONDS)}
    held = set(session.scalars(_HELD, values))
    return [mailing for mailing in mailings if mailing.id not in held]


def _probe(
    session: Session, relay: Relay, mailings: list[Mailing], settings: Settings, now: datetime
) -> list[Published]:
    """One mail goes to a relay that could not be reached, and none besides until it is known how that went."""
    waited = relay.retry_at is not None and relay.probed_at is not None and relay.probed_at >= relay.retry_at
    if waited and relay.probed_at and now < relay.probed_at + timedelta(seconds=settings.smtp_connect_timeout_seconds):
        return []
    for mailing in mailings:
        opened = _open_window(session, mailing, Share(1, 1), settings, now)
        if opened is not None:
            relay.probed_at = now
            return [opened[0]]
    return []


def _sending(relay_id: int) -> Select[Mailing]:
    """Sending mailings in the order in which they take their turns: system mail, then who waited longest."""
    last_turn = select(func.max(Window.id)).where(Window.mailing_id == Mailing.id).scalar_subquery()
    return (
        select(Mailing)
        .where(Mailing.relay_id == relay_id, Mailing.state == MailingState.SENDING, Mailing.settled_at.is_(None))
        .order_by(Mailing.kind.not_in(OF_ONE), last_turn.asc().nulls_first(), Mailing.id)
    )


def _open_window(
    session: Session, mailing: Mailing, share: Share, settings: Settings, now: datetime
) -> tuple[Published, int] | None:
    window = Window(
        mailing_id=mailing.id, lane=0, deadline_at=now + timedelta(seconds=settings.window_deadline_seconds)
    )
    savepoint = session.begin_nested()
    session.add(window)
    session.flush()
    slices = deal(session, mailing.id, window.id, share)
    if not slices:
        savepoint.rollback()
        return None
    savepoint.commit()
    is_system = mailing.kind in OF_ONE
    return Published(window.id, mailing.id, [s.id for s in slices], is_system), sum(s.row_count for s in slices)


def _throughput(session: Session, allowed: float) -> tuple[float, int]:
    """Mails a second that the relay is believed to take now, and how many processes send them."""
    row = session.execute(_WORKERS, {"guess": FIRST_GUESS_PER_SECOND}).one()
    return min(float(row.rate or FIRST_GUESS_PER_SECOND), allowed), max(1, row.processes)


def _room(allowed: float, rate: float, processes: int, in_flight: int) -> int:
    """Rows that may be published now. Workers that have nothing to do are faster than they were thought to be."""
    most = rate * IN_FLIGHT_SECONDS
    if not in_flight:
        most = max(most, FIRST_GUESS_PER_SECOND * processes)
    most = min(most, allowed * IN_FLIGHT_SECONDS, processes * SLICES_OF_A_PROCESS * MAX_SLICE)
    return max(1, math.ceil(most)) - in_flight


def _relay_limit(relay: Relay, now: datetime) -> float:
    """Mails a second that may be handed to the relay in the next seconds."""
    slowed = slowing.rate_now(relay, now)
    return min(fastest_rate(relay.limits, IN_FLIGHT_SECONDS), math.inf if slowed is None else slowed)


def _share(mailing: Mailing, allowed: float, rate: float, processes: int, settings: Settings) -> Share:
    """How many recipients a window and a task of this mailing carry, at most."""
    limit = min(allowed, fastest_rate(mailing.limits, IN_FLIGHT_SECONDS))
    is_small = mailing.enrolled_at is not None and mailing.enrolled_count <= SMALL_MAILING
    # By its limit, and not by what is measured: tasks of one recipient are slow themselves.
    if is_small or limit <= SLOW_PER_SECOND:
        size = 1
    else:
        size = min(MAX_SLICE, max(1, round(min(rate, limit) / processes * settings.slice_seconds)))
    rows = max(1, math.ceil(min(rate, limit) * WINDOW_SECONDS))
    return Share(max(size, min(rows, size * SLICES_IN_A_WINDOW)), size)


_WORKERS = text("""
SELECT count(*) AS processes, sum(coalesce(rate_per_second, :guess)) AS rate FROM workers WHERE ended_at IS NULL
""")

# By way of the open windows: while an old snapshot is open, an index of slices keeps every one that was ever open.
_IN_FLIGHT = text("""
SELECT w.mailing_id, CAST(coalesce(sum(s.row_count), 0) AS bigint) AS rows,
    count(DISTINCT w.id) FILTER (WHERE s.worker_id IS NULL) AS windows
FROM windows w JOIN slices s ON s.window_id = w.id AND s.closed_at IS NULL
WHERE w.mailing_id = ANY (:mailings) AND w.closed_at IS NULL
    AND (s.worker_id IS NULL OR s.leased_at > now() - :straggling * interval '1 second')
GROUP BY w.mailing_id
""")

_HELD = text("""
SELECT DISTINCT mailing_id FROM slices
WHERE mailing_id = ANY (:mailings) AND closed_at IS NULL AND hold_reason = 'limit' AND due_at > :after
""")

_SOMETHING_LEFT = text(f"""
SELECT EXISTS (SELECT FROM mailings WHERE id = :mailing AND (enrolled_at IS NULL OR settled_at IS NOT NULL))
    OR EXISTS (SELECT FROM stretches WHERE mailing_id = :mailing AND frontier <= last_position)
    OR EXISTS (SELECT FROM slices WHERE mailing_id = :mailing AND closed_at IS NULL)
    OR EXISTS (SELECT FROM deliveries WHERE mailing_id = :mailing AND next_attempt_at IS NOT NULL)
    OR EXISTS (SELECT FROM mailings m JOIN deliveries d ON d.mailing_id = m.id
        WHERE m.id = :mailing AND m.state = 'sending' AND m.unknown_policy = 'resend' AND {WAITS_FOR_RESEND})
""")  # noqa: S608 – constants only

_CLOSE_WINDOW = text("""
UPDATE windows w SET closed_at = now()
WHERE id = :window AND closed_at IS NULL
    AND NOT EXISTS (SELECT FROM slices s WHERE s.window_id = w.id AND s.closed_at IS NULL)
""")
