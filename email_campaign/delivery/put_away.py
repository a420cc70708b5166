"""Retention: the attempts of mailings that were settled long ago are put away, page by page; the deliveries stay."""

from datetime import datetime, timedelta

from sqlalchemy import Select, or_, select, text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import Mailing, get_for_update, note
from email_campaign.db import SessionFactory

PAGE = 10_000
"""Positions a transaction: some tens of milliseconds under the mailing's lock."""
MOST_PAGES = 200
"""Pages a call: far below what a task may last, also on a slow disk."""


def put_away_old(factory: SessionFactory, kept_days: int, now: datetime) -> bool:
    """Delete attempts of mailings that were settled `kept_days` ago (0: of none); whether there is more to come.

    Attempts that say *unknown* stay, without their variables: whether a copy may have gone out once decides what a
    retry may do, also years later. A mailing that was opened again meanwhile is left alone. Safe to repeat and to kill.
    """
    if not kept_days:
        return False
    before = now - timedelta(days=kept_days)
    with factory() as session:
        old = list(session.scalars(_old(before)))
    pages = 0
    for mailing_id in old:
        more = True
        while more and pages < MOST_PAGES:
            with factory.begin() as session:
                more = _put_away_page(session, mailing_id, before, now)
            pages += 1
    return len(old) == MOST_PAGES or pages == MOST_PAGES


def _old(before: datetime) -> Select[int]:
    half_done = Mailing.put_away_cursor < Mailing.next_position
    settled_anew = Mailing.attempts_put_away_at < Mailing.settled_at
    return (
        select(Mailing.id)
        .where(Mailing.settled_at < before, or_(Mailing.attempts_put_away_at.is_(None), settled_anew, half_done))
        .order_by(Mailing.id)
        .limit(MOST_PAGES)
    )


def _put_away_page(session: Session, mailing_id: int, before: datetime, now: datetime) -> bool:
    mailing = get_for_update(session, mailing_id)
    if mailing.settled_at is None or mailing.settled_at >= before:
        return False
    if mailing.attempts_put_away_at is None or mailing.attempts_put_away_at < mailing.settled_at:
        # Said before the first one goes, so that nobody ever takes a gap for a loss.
        mailing.attempts_put_away_at, mailing.put_away_cursor = now, 1
        note(session, mailing_id, actor="system", kind="put_away")
    page = {"mailing": mailing_id, "first": mailing.put_away_cursor, "last": mailing.put_away_cursor + PAGE - 1}
    session.execute(_DELETE, page)
    session.execute(_FORGET_VARIABLES, page)
    mailing.put_away_cursor = min(mailing.put_away_cursor + PAGE, mailing.next_position)
    return mailing.put_away_cursor < mailing.next_position


_DELETE = text("""
DELETE FROM attempts WHERE mailing_id = :mailing AND position BETWEEN :first AND :last AND verdict <> 'unknown'
""")

_FORGET_VARIABLES = text("""
UPDATE attempts SET variables = NULL
WHERE mailing_id = :mailing AND position BETWEEN :first AND :last AND variables IS NOT NULL
""")
