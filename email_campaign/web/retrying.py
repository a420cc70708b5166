"""A failed task tried again: which kinds allow it, and how.

An import is not among them: it goes on where it stopped, and its own page says how. Its undo is.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from email_campaign.audience.import_undo import TASK_KIND as UNDO_IMPORT
from email_campaign.audience.import_undo import begin_undo
from email_campaign.campaigns import campaigns
from email_campaign.delivery.proof_task import TASK_KIND as PROOF
from email_campaign.delivery.proof_task import ask_for_proof
from email_campaign.delivery.unknown_task import TASK_KIND as RESOLVE_UNKNOWN
from email_campaign.delivery.unknown_task import resolve_again
from email_campaign.errors import Conflict
from email_campaign.media.images import TASK_KIND as IMAGE
from email_campaign.media.images import make_again
from email_campaign.reports.scheduled import report as reports
from email_campaign.tasks import tasks
from email_campaign.tasks.tasks import Task, TaskState


def can_retry(task: Task) -> bool:
    """Whether `retry` would take it."""
    return task.state is TaskState.FAILED and task.kind in _AGAIN


def retry(session: Session, task_id: int, *, created_by: int | None, now: datetime) -> Task:
    """A new task that does what the failed one did not; the caller commits, then nudges. The failed one stays as it is.

    Raises NotFound, and Conflict for what did not fail, cannot be tried again, or is going on already.
    """
    failed = tasks.failed(session, task_id)
    if failed.kind not in _AGAIN:
        raise Conflict(f"A task of the kind “{failed.kind}” cannot be tried again; ask for it anew where it began.")
    return _AGAIN[failed.kind](session, failed, created_by, now)


def _prove_again(session: Session, failed: Task, created_by: int | None, now: datetime) -> Task:
    campaign = campaigns.get(session, failed.subject_id or 0)
    return ask_for_proof(session, campaign.id, name=campaign.name, created_by=created_by, now=now)


def _resolve_again(session: Session, failed: Task, created_by: int | None, now: datetime) -> Task:
    return resolve_again(session, failed, created_by=created_by, now=now)


def _undo_again(session: Session, failed: Task, created_by: int | None, now: datetime) -> Task:
    return begin_undo(session, failed.subject_id or 0, created_by=created_by, now=now)


def _make_again(session: Session, failed: Task, created_by: int | None, now: datetime) -> Task:
    return make_again(session, failed.subject_id or 0, created_by, now)


def _report_again(session: Session, failed: Task, created_by: int | None, now: datetime) -> Task:
    asked = reports.again(session, failed.subject_id or 0, now, created_by)
    if asked.task_id is None:
        raise Conflict("The report is made, or is being made already.")
    return tasks.get_task(session, asked.task_id)


_AGAIN: Mapping[str, Callable[[Session, Task, int | None, datetime], Task]] = {
    IMAGE: _make_again,
    PROOF: _prove_again,
    RESOLVE_UNKNOWN: _resolve_again,
    UNDO_IMPORT: _undo_again,
    reports.TASK_KIND: _report_again,
}
