"""Failure mail: what fails at night is mailed to administrators: once, again after a week, and when it works again."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.accounts.users import administrators
from email_campaign.campaigns.system_mail import send_letter
from email_campaign.clock import clock_time
from email_campaign.db import Base
from email_campaign.settings import Settings
from email_campaign.tasks.outcomes import TITLES, last_failures, title_of
from email_campaign.tasks.tasks import Task

FAILED = "task_failed"
WORKS_AGAIN = "task_works_again"
REMINDED_AFTER = timedelta(days=7)


class FailureNotice(Base):
    """A kind of task that fails, and of which administrators were told: since when, and when they were last mailed.

    The row goes when it works again. Whoever writes it sends the mail, so two sweeps at once tell it once.
    """

    __tablename__ = "failure_notices"

    kind: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    mailed_at: Mapped[datetime]


def tell_by_mail(session: Session, settings: Settings, now: datetime) -> list[int]:
    """For the sweep: mail what fails now and was not told, or a week ago, and what works again; the mailings to nudge.

    Read from the rows of tasks, whoever wrote them. Safe to repeat.
    """
    failing = {task.kind: task for task in last_failures(session)}
    mailed = []
    for task in failing.values():
        if since := _take(session, task, now):
            words = {"task": title_of(task), "error": task.error or "", "since": clock_time(since)}
            mailed += _mail(session, FAILED, words, settings, now)
    for kind in _mended(session, failing):
        words = {"task": TITLES.get(kind, kind).partition(",")[0]}
        mailed += _mail(session, WORKS_AGAIN, words, settings, now)
    return mailed


def _take(session: Session, task: Task, now: datetime) -> datetime | None:
    """Since when it fails, where it is this caller's to tell."""
    failed_at = task.finished_at or now
    first = (
        insert(FailureNotice)
        .values(kind=task.kind, since=failed_at, mailed_at=now)
        .on_conflict_do_nothing()
        .returning(FailureNotice.since)
    )
    again = (
        update(FailureNotice)
        .where(FailureNotice.kind == task.kind, FailureNotice.mailed_at <= now - REMINDED_AFTER)
        .values(mailed_at=now)
        .returning(FailureNotice.since)
    )
    return session.scalar(first) or session.scalar(again)


def _mended(session: Session, failing: dict[str, Task]) -> Sequence[str]:
    known = session.scalars(select(FailureNotice.kind)).all()
    mended = [kind for kind in known if kind not in failing]
    if not mended:
        return []
    gone = delete(FailureNotice).where(FailureNotice.kind.in_(mended)).returning(FailureNotice.kind)
    return session.scalars(gone).all()


def _mail(session: Session, letter: str, words: dict[str, str], settings: Settings, now: datetime) -> list[int]:
    return [send_letter(session, user, letter, settings, now, words).id for user in administrators(session)]
