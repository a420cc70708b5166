"""All unknown copies of a mailing at once: a few in the request itself, many as a long task, page by page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import MailingState, get_for_update
from email_campaign.delivery.deliveries import DeliveryState, states_of
from email_campaign.delivery.unknown import PAGE, Decision, Resolution, resolve_page, tell
from email_campaign.errors import Conflict
from email_campaign.settings import Settings
from email_campaign.tasks.running import Handler, Step
from email_campaign.tasks.tasks import Task, create_task

TASK_KIND = "resolve_unknown"
FIRST = 1
"""The lowest position."""

_TITLES = {
    Resolution.ACCEPTED: "Mark unknown copies as accepted",
    Resolution.REJECTED: "Mark unknown copies as not delivered",
    Resolution.RESEND: "Send unknown copies again",
}


@dataclass(frozen=True, slots=True)
class Begun:
    """How many copies were resolved at once; or, where there are more than 2,000, the task that will."""

    count: int
    task: Task | None = None


def resolve_all(
    session: Session, mailing_id: int, decision: Decision, *, created_by: int | None, now: datetime
) -> Begun:
    """Resolve every copy of the mailing that was unknown at `decision.until`. A task is the door's to nudge.

    Raises NotFound; Conflict for a resend of a cancelled mailing, and while such a task of this mailing is going on.
    """
    mailing = get_for_update(session, mailing_id)
    if decision.resolution is Resolution.RESEND and mailing.state is MailingState.CANCELLED:
        raise Conflict(f"Nothing of a {mailing.kind} that is cancelled is sent again; say what became of each copy.")
    _refuse_a_second(session, mailing_id)
    known = states_of(session, mailing_id)[DeliveryState.UNKNOWN]
    if known > PAGE:
        task = _create_task(session, mailing_id, decision, created_by=created_by, now=now)
        task.total_count = known
        return Begun(0, task)
    count = resolve_page(session, mailing_id, FIRST, decision, now).count
    if count:
        tell(session, mailing_id, decision, count)
    return Begun(count)


def resolve_again(session: Session, failed: Task, *, created_by: int | None, now: datetime) -> Task:
    """A task that goes on where the failed one stopped, with the same decision. The door nudges it.

    Raises Conflict while such a task of this mailing is going on.
    """
    mailing_id = _mailing_id(failed)
    get_for_update(session, mailing_id)
    _refuse_a_second(session, mailing_id)
    again = create_task(
        session, kind=TASK_KIND, subject_id=mailing_id, title=failed.title, created_by=created_by, now=now
    )
    again.cursor = dict(failed.cursor)
    again.total_count = max((failed.total_count or 0) - failed.done_count, 0)
    return again


def _refuse_a_second(session: Session, mailing_id: int) -> None:
    open_task = select(Task.id).where(Task.kind == TASK_KIND, Task.subject_id == mailing_id, Task.finished_at.is_(None))
    if (task_id := session.scalar(open_task.limit(1))) is not None:
        raise Conflict(f"Its unknown copies are being resolved already, by task {task_id}; wait for it or cancel it.")


def _create_task(
    session: Session, mailing_id: int, decision: Decision, *, created_by: int | None, now: datetime
) -> Task:
    campaign = session.get(Campaign, mailing_id)
    title = _TITLES[decision.resolution] + (f": {campaign.name}" if campaign else "")
    task = create_task(session, kind=TASK_KIND, subject_id=mailing_id, title=title, created_by=created_by, now=now)
    task.cursor = {
        "first": FIRST,
        "resolution": decision.resolution.value,
        "actor": decision.actor,
        "until": decision.until.isoformat(),
    }
    return task


def _step(session: Session, task: Task, settings: Settings, now: datetime) -> Step:  # noqa: ARG001 – a handler's shape
    page = resolve_page(session, _mailing_id(task), task.cursor["first"], _decision(task), now)
    done_count = task.done_count + page.count
    return Step({**task.cursor, "first": page.next_position}, done_count, more=page.next_position is not None)


def _close(session: Session, task: Task, settings: Settings, now: datetime) -> Mapping[str, Any]:  # noqa: ARG001 – a handler's shape
    """The timeline tells what was done, also when it was only a part."""
    if task.done_count:
        tell(session, _mailing_id(task), _decision(task), task.done_count)
    return {"resolved": task.done_count, "as": task.cursor["resolution"]}


RESOLVE_HANDLER = Handler(step=_step, close=_close)
"""For tasks of the kind `TASK_KIND`; `subject_id` is the mailing's id."""


def _mailing_id(task: Task) -> int:
    assert task.subject_id is not None
    return task.subject_id


def _decision(task: Task) -> Decision:
    cursor = task.cursor
    return Decision(Resolution(cursor["resolution"]), cursor["actor"], datetime.fromisoformat(cursor["until"]))
