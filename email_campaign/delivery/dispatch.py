"""Dispatch: which slices are published next, so that every mailing gets its turn and little waits in the queue."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import Mailing, MailingKind, MailingState, get_for_update, move
from email_campaign.delivery.relays import Relay, RelayState
from email_campaign.delivery.slicing import Share, deal
from email_campaign.delivery.unknown_policy import WAITS_FOR_RESEND
from email_campaign.delivery.windows import Window
from email_campaign.settings import Settings

DISPATCH_LOCK = 0x6D62
AHEAD_SECONDS = 3.0
"""Published but untaken work is at most this much at the present throughput: who is launched next does not wait."""
SLICES_IN_A_WINDOW = 200
WINDOWS_IN_FLIGHT = 3
"""Windows with slices that nobody has taken yet; stragglers that wait for a slow reply hold nobody up."""
SMALL_MAILING = 2_000
SLOW_PER_SECOND = 150.0
"""Up to this size or this rate a task carries one recipient."""
FIRST_GUESS_PER_SECOND = 200.0
"""What a send process is believed to do before it has measured itself."""
MAX_SLICE = 5_000


@dataclass(frozen=True, slots=True)
class Published:
    """A window that is now to be published as a chord."""

    window_id: int
    mailing_id: int
    slice_ids: Sequence[int]
    is_system: bool


def dispatch(session: Session, settings: Settings, now: datetime) -> list[Published]:
    """Open windows for every mailing that has work, round-robin, up to what the relay does in three seconds.

    What is returned must be published after the commit; a window that is not is found by the sweep. Safe to repeat.
    """
    session.execute(select(func.pg_advisory_xact_lock(DISPATCH_LOCK)))
    published = []
    for relay in session.scalars(select(Relay).order_by(Relay.id)).all():
        if relay.state is RelayState.PAUSED or (relay.retry_at is not None and relay.retry_at > now):
            continue
        published += _dispatch_relay(session, relay, settings, now)
    return published


def finish_if_done(session: Session, mailing_id: int, now: datetime) -> bool:
    """Take a mailing of which nothing is left to do to `finished`; a cancelled one is settled. Safe to repeat.

    Decided from rows under the mailing's lock, never from a chord's word: enrolled to the end, every stretch cut, no
    slice open, nothing due to be tried again, nothing unknown that the policy is to send again.
    """
    mailing = get_for_update(session, mailing_id)
    if mailing.state not in {MailingState.SENDING, MailingState.CANCELLED} or mailing.settled_at is not None:
        return False
    if mailing.enrolled_at is None or session.execute(_SOMETHING_LEFT, {"mailing": mailing_id}).scalar():
        return False
    mailing.settled_at = now
    if mailing.state is MailingState.SENDING:
        mailing.finished_at = now
        move(session, mailing, MailingState.FINISHED, actor="system")
    return True


def close_window(session: Session, window_id: int) -> None:
    """The chord's tasks have all returned. Safe to repeat."""
    session.execute(_CLOSE_WINDOW, {"window": window_id})


def _dispatch_relay(session: Session, relay: Relay, settings: Settings, now: datetime) -> list[Published]:
    mailings = list(session.scalars(_sending(relay.id)))
    if not mailings:
        return []
    rate, processes = _throughput(session, relay)
    untaken = {row.mailing_id: row for row in session.execute(_UNTAKEN, {"mailings": [m.id for m in mailings]})}
    room = _room(relay, rate, processes, sum(row.rows or 0 for row in untaken.values()))
    if relay.failure_count:
        room = 1 if not untaken else 0  # a relay that just failed is probed with one mail
    published = []
    for turn, mailing in enumerate(mailings):
        if room <= 0 and mailing.kind is MailingKind.CAMPAIGN:
            continue
        windows = untaken[mailing.id].windows if mailing.id in untaken else 0
        if windows >= WINDOWS_IN_FLIGHT:
            continue
        share = _share(mailing, rate / processes, settings)
        fair = max(1, math.ceil(room / (len(mailings) - turn)))
        rows = min(fair, share.rows_per_slice * SLICES_IN_A_WINDOW)
        opened = _open_window(session, mailing, Share(rows, share.rows_per_slice), settings, now)
        if opened is not None:
            published.append(opened[0])
            room -= opened[1]
    return published


def _sending(relay_id: int) -> Select[Mailing]:
    """Sending mailings in the order in which they take their turns: system mail, then who waited longest."""
    last_turn = select(func.max(Window.opened_at)).where(Window.mailing_id == Mailing.id).scalar_subquery()
    return (
        select(Mailing)
        .where(Mailing.relay_id == relay_id, Mailing.state == MailingState.SENDING, Mailing.settled_at.is_(None))
        .order_by(Mailing.kind == MailingKind.CAMPAIGN, last_turn.asc().nulls_first(), Mailing.id)
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
    is_system = mailing.kind is not MailingKind.CAMPAIGN
    return Published(window.id, mailing.id, [s.id for s in slices], is_system), sum(s.row_count for s in slices)


def _throughput(session: Session, relay: Relay) -> tuple[float, int]:
    """Mails a second that the relay is believed to take now, and how many processes send them."""
    row = session.execute(_WORKERS, {"guess": FIRST_GUESS_PER_SECOND}).one()
    return min(float(row.rate or 0), _limit_per_second(relay)), max(1, row.processes)


def _room(relay: Relay, rate: float, processes: int, untaken: int) -> int:
    """Rows that may be published now. Workers that have nothing to take are faster than they were thought to be."""
    ahead = rate * AHEAD_SECONDS
    if not untaken:
        ahead = max(ahead, FIRST_GUESS_PER_SECOND * processes)
    return max(1, math.ceil(min(ahead, _limit_per_second(relay) * AHEAD_SECONDS))) - untaken


def _limit_per_second(relay: Relay) -> float:
    return math.inf if relay.limit_count is None else relay.limit_count / relay.limit_seconds


def _share(mailing: Mailing, rate_per_process: float, settings: Settings) -> Share:
    """How many recipients a task of this mailing carries."""
    allowed = rate_per_process
    if mailing.limit_count is not None:
        allowed = min(allowed, mailing.limit_count / mailing.limit_seconds)
    is_small = mailing.enrolled_at is not None and mailing.enrolled_count <= SMALL_MAILING
    if is_small or allowed <= SLOW_PER_SECOND:
        return Share(0, 1)
    return Share(0, min(MAX_SLICE, max(1, round(allowed * settings.slice_seconds))))


_WORKERS = text("""
SELECT count(*) AS processes, sum(coalesce(rate_per_second, :guess)) AS rate FROM workers WHERE ended_at IS NULL
""")

_UNTAKEN = text("""
SELECT mailing_id, sum(row_count) FILTER (WHERE worker_id IS NULL) AS rows,
    count(DISTINCT window_id) FILTER (WHERE worker_id IS NULL) AS windows
FROM slices
WHERE mailing_id = ANY (:mailings) AND closed_at IS NULL AND published_at IS NOT NULL
GROUP BY mailing_id
""")

_SOMETHING_LEFT = text(f"""
SELECT EXISTS (SELECT FROM stretches WHERE mailing_id = :mailing AND frontier <= last_position)
    OR EXISTS (SELECT FROM slices WHERE mailing_id = :mailing AND closed_at IS NULL)
    OR EXISTS (SELECT FROM deliveries WHERE mailing_id = :mailing AND next_attempt_at IS NOT NULL)
    OR EXISTS (SELECT FROM mailings m JOIN deliveries d ON d.mailing_id = m.id
        WHERE m.id = :mailing AND m.state = 'sending' AND m.unknown_policy = 'resend' AND {WAITS_FOR_RESEND})
""")  # noqa: S608 – constants only

_CLOSE_WINDOW = text("UPDATE windows SET closed_at = now() WHERE id = :window AND closed_at IS NULL")
