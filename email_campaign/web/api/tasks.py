"""API: long work: how far it is, what came of it, and stopping it."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from email_campaign import queue
from email_campaign.tasks import tasks
from email_campaign.tasks.tasks import Task, TaskState
from email_campaign.web.deps import ApiUser, NowDep, PathId, SessionDep
from email_campaign.web.idempotency import OnceDep
from email_campaign.web.paging import MAX_BIGINT, Page, PageDep, read_page
from email_campaign.web.retrying import can_retry, retry

router = APIRouter(prefix="/tasks", tags=["tasks"])


class TaskOut(BaseModel):
    """One piece of long work."""

    id: int
    kind: Annotated[str, Field(examples=["import"])]
    subject_id: int | None = Field(description="The row that it works on, such as the import.")
    title: Annotated[str, Field(examples=["Import contacts.csv"])]
    state: TaskState
    done_count: Annotated[int, Field(examples=[12_000])]
    total_count: Annotated[int | None, Field(description="Null while nobody knows.", examples=[48_210])]
    per_second: float | None = Field(description="Rate since it began; null before the first step.")
    seconds_left: float | None = Field(description="At this rate; null where it cannot be said, or the task is over.")
    result: dict[str, Any] | None
    error: str | None = Field(description="Why it failed, and what to do.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    can_retry: bool = Field(description="Whether it failed and may be tried again.")


@router.get("")
def list_tasks(
    session: SessionDep,
    page: PageDep,
    now: NowDep,
    state: Annotated[list[TaskState], Query(default_factory=list)],
    kind: Annotated[str, Query(max_length=60, description="Such as `import`, `proof`.")] = "",
    subject_id: Annotated[int | None, Query(ge=1, le=MAX_BIGINT, description="With `kind`: about this row.")] = None,
) -> Page[TaskOut]:
    """Tasks, the newest first; `state` may be given more than once."""
    matching = tasks.all_tasks(*state, kind=kind.replace("\0", ""), subject_id=subject_id)
    rows = read_page(session, matching, [Task.id], page)
    return Page(items=[_out(task, now) for task in rows.items], next=rows.next)


@router.get("/{task_id}")
def show_task(session: SessionDep, now: NowDep, task_id: PathId) -> TaskOut:
    """How far a task is, or what came of it."""
    return _out(tasks.get_task(session, task_id), now)


@router.post("/{task_id}/cancel", status_code=202)
def cancel_task(session: SessionDep, now: NowDep, once: OnceDep, task_id: PathId) -> TaskOut:
    """Ask a task to stop. What it did until then is kept. 409 where it is over already."""
    task = tasks.request_cancel(session, task_id, now)
    answer = _out(task, now)
    once.keep(202, answer)
    session.commit()
    queue.nudge(queue.HOP, task.id)
    return answer


@router.post("/{task_id}/retry", status_code=202)
def retry_task(session: SessionDep, user: ApiUser, now: NowDep, once: OnceDep, task_id: PathId) -> TaskOut:
    """Do what a failed task did not, as a new task, which is the answer.

    409 where it did not fail, or its kind cannot be tried again (`can_retry` says so beforehand).
    """
    again = retry(session, task_id, created_by=user.id, now=now)
    answer = _out(again, now)
    once.keep(202, answer)
    session.commit()
    queue.nudge(queue.HOP, again.id)
    return answer


def _out(task: Task, now: datetime) -> TaskOut:
    pace = tasks.pace(task, now)
    return TaskOut(
        id=task.id,
        kind=task.kind,
        subject_id=task.subject_id,
        title=task.title,
        state=task.state,
        done_count=task.done_count,
        total_count=task.total_count,
        per_second=pace.per_second,
        seconds_left=pace.seconds_left,
        result=task.result,
        error=task.error,
        created_at=task.created_at,
        started_at=task.started_at,
        finished_at=task.finished_at,
        cancel_requested_at=task.cancel_requested_at,
        can_retry=can_retry(task),
    )
