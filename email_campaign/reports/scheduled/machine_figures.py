"""What went wrong in a period: tasks that failed, campaigns that the service paused, and how the relays are doing."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from email_campaign.backups.daily import TASK_KIND as BACKUP
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import Mailing, MailingEvent, MailingState
from email_campaign.clock import clock_time
from email_campaign.delivery.relays import Relay, RelayState
from email_campaign.reports.progress import slowed_words
from email_campaign.reports.scheduled.figures import FailureLine, HaltLine, Machine
from email_campaign.reports.scheduled.periods import Period
from email_campaign.tasks.outcomes import TITLES, last_failures, title_of
from email_campaign.tasks.tasks import Task, TaskState

FAILURES_NAMED = 15
HALTS_NAMED = 10


def machine(session: Session, period: Period, now: datetime) -> Machine:
    """Failures of the period; relays as they are now, since they keep no history but their last trouble."""
    count, failures = _failures(session, period)
    return Machine(
        failure_count=count,
        failures=failures,
        halts=_halts(session, period),
        relays=[
            words
            for relay in session.scalars(select(Relay).order_by(Relay.id))
            for words in _relay(relay, period.begins_at, now)
        ],
        last_backup_at=session.scalar(
            select(func.max(Task.finished_at)).where(Task.kind == BACKUP, Task.state == TaskState.SUCCEEDED)
        ),
    )


def _failures(session: Session, period: Period) -> tuple[int, list[FailureLine]]:
    failed = select(Task).where(
        Task.state == TaskState.FAILED, Task.finished_at >= period.begins_at, Task.finished_at < period.ends_at
    )
    count = session.scalar(select(func.count()).select_from(failed.subquery())) or 0
    still_failing = {task.kind for task in last_failures(session)}
    newest = session.scalars(failed.order_by(Task.finished_at.desc(), Task.id.desc()).limit(FAILURES_NAMED))
    return count, [
        FailureLine(
            task_id=task.id,
            title=title_of(task),
            error=task.error or "",
            at=task.finished_at or task.created_at,
            works_again=task.kind in TITLES and task.kind not in still_failing,
        )
        for task in newest
    ]


def _halts(session: Session, period: Period) -> list[HaltLine]:
    """Not by a person. Of campaigns that were on in the period: events have no index on their time."""
    rows = session.execute(
        select(Campaign.id, Campaign.name, MailingEvent.at, MailingEvent.detail)
        .join(Mailing, Mailing.id == Campaign.id)
        .join(MailingEvent, MailingEvent.mailing_id == Mailing.id)
        .where(
            Mailing.launched_at < period.ends_at,
            Mailing.settled_at.is_(None) | (Mailing.settled_at >= period.begins_at),
            MailingEvent.kind == MailingState.PAUSED.value,
            MailingEvent.actor == "system",
            MailingEvent.at >= period.begins_at,
            MailingEvent.at < period.ends_at,
        )
        .order_by(MailingEvent.id.desc())
        .limit(HALTS_NAMED)
    )
    return [HaltLine(row.id, row.name, row.at, row.detail) for row in rows]


def _relay(relay: Relay, since: datetime, now: datetime) -> list[str]:
    name = relay.name[0].upper() + relay.name[1:]
    if relay.state is RelayState.PAUSED:
        return [f"{name}: paused {relay.state_reason}".rstrip(".: ") + "."]
    said = []
    if relay.failure_count:
        said.append(f"{name}: cannot be used, {relay.last_error.rstrip('.') or 'it does not answer'}.")
    elif relay.last_error_at is not None and relay.last_error_at >= since:
        said.append(f"{name}: last error {clock_time(relay.last_error_at)}: {relay.last_error.rstrip('.')}.")
    if slowed := slowed_words(relay, now):
        said.append(f"{name}: {slowed[0].lower()}{slowed[1:].rstrip('.')}.")
    elif relay.slowed_at is not None and relay.slowed_at >= since:
        why = relay.slowed_reason.rstrip(".")
        said.append(f"{name}: last slowed {clock_time(relay.slowed_at)}, because it said: {why}.")
    return said
