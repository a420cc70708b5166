"""The proof as a long task: asked for on a page or by API, made in steps by a worker, kept as the task's result."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from email_campaign.delivery.proof import Proof, Proving, advance, begin
from email_campaign.settings import Settings
from email_campaign.tasks.running import Handler, Step
from email_campaign.tasks.tasks import Task, TaskState, create_task

TASK_KIND = "proof"


def ask_for_proof(session: Session, mailing_id: int, *, name: str, created_by: int | None, now: datetime) -> Task:
    """A task that makes the proof, or the one that is making it already. The door nudges it after commit.

    Raises NotFound, and Conflict for a mailing that was never launched.
    """
    proving = begin(session, mailing_id, now)
    last = last_proof(session, mailing_id)
    if last is not None and last.finished_at is None:
        return last
    task = create_task(
        session, kind=TASK_KIND, subject_id=mailing_id, title=f"Proof of {name}", created_by=created_by, now=now
    )
    task.total_count = proving.total_count
    return task


def last_proof(session: Session, mailing_id: int) -> Task | None:
    """The proof of the mailing that was asked for last, in whatever state."""
    query = select(Task).where(Task.kind == TASK_KIND, Task.subject_id == mailing_id).order_by(Task.id.desc()).limit(1)
    return session.scalar(query)


def proof_of(task: Task) -> Proof | None:
    """What the task found; None while it runs, and where it failed or was cancelled."""
    return Proof.from_json(task.result) if task.state is TaskState.SUCCEEDED and task.result else None


def _step(session: Session, task: Task, settings: Settings, now: datetime) -> Step:  # noqa: ARG001 – a step's shape
    proving = Proving.from_json(task.cursor) if task.cursor else begin(session, task.subject_id or 0, now)
    more = advance(session, proving)
    return Step(proving.to_json(), min(proving.done_count, task.total_count or 0), more)


def _close(session: Session, task: Task, settings: Settings, now: datetime) -> Mapping[str, Any]:  # noqa: ARG001 – a handler's shape
    if task.state is not TaskState.SUCCEEDED:
        return {}
    task.done_count = task.total_count or 0
    return Proving.from_json(task.cursor).proof.to_json()


PROOF_HANDLER = Handler(step=_step, close=_close)
"""For tasks of the kind `TASK_KIND`; `subject_id` is the mailing's id."""
