"""Pages: tasks. What is the machine doing?"""

from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from email_campaign import queue
from email_campaign.accounts.users import User
from email_campaign.tasks import tasks
from email_campaign.tasks.tasks import Task, TaskState
from email_campaign.web.admin.listing import read_listing
from email_campaign.web.admin.task_words import (
    HERE,
    KINDS,
    address_of,
    kind_word,
    phase,
    result_shown,
    subject_of,
    task_progress,
)
from email_campaign.web.deps import NowDep, PageUser, PathId, SessionDep
from email_campaign.web.pages import redirect, render
from email_campaign.web.paging import PageDep
from email_campaign.web.retrying import can_retry, retry

LIST = "admin/tasks/list.html"
ONE = "admin/tasks/task.html"
CARDS = 20
"""So many open tasks get a card of their own; the rest is counted."""
OPEN = (TaskState.RUNNING, TaskState.WAITING)
OVER = (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED)

router = APIRouter(prefix="/tasks")


@router.get("")
def list_tasks(
    request: Request,
    session: SessionDep,
    page: PageDep,
    now: NowDep,
    state: Annotated[str, Query(max_length=20)] = "",
    kind: Annotated[str, Query(max_length=60)] = "",
) -> Response:
    """What runs and waits as cards, what is over as a table; with a state, all of that state as a table."""
    chosen = [one for one in TaskState if one == state]
    kind = kind if kind in KINDS else ""
    shown = tasks.all_tasks(*(chosen or OVER), kind=kind)
    listing = read_listing(request, session, shown, [Task.id], page, is_filtered=True)
    still_open = tasks.all_tasks(kind=kind).where(Task.finished_at.is_(None))
    cards = [] if chosen else session.scalars(still_open.order_by(Task.state, Task.id).limit(CARDS)).all()
    open_count = session.scalar(select(func.count()).select_from(still_open.subquery())) or 0
    return render(
        request,
        LIST,
        listing=listing,
        cards=[(task, tasks.pace(task, now)) for task in cards],
        more_open=0 if chosen else open_count - len(cards),
        paces={task.id: tasks.pace(task, now) for task in listing.items},
        filters={"state": state if chosen else "", "kind": kind},
        states=[(one.value, one.value) for one in (*OPEN, *OVER)],
        kinds=[(name, one.word) for name, one in KINDS.items()],
        address_of=address_of,
        kind_word=kind_word,
        subject_of=subject_of,
        can_retry=can_retry,
        phase=phase,
        seen=open_tasks_numbers(session, now)["state"],
    )


@router.get("/live")
def live_tasks(session: SessionDep, now: NowDep) -> Response:
    """Which tasks are open, for live.js."""
    return JSONResponse(open_tasks_numbers(session, now))


@router.get("/{task_id}")
def show_task(request: Request, session: SessionDep, task_id: PathId, now: NowDep) -> Response:
    """One task."""
    task = tasks.get_task(session, task_id)
    return render(
        request,
        ONE,
        task=task,
        pace=tasks.pace(task, now),
        phase=phase(task),
        by=session.get(User, task.created_by) if task.created_by else None,
        result=result_shown(task.result or {}),
        kind=kind_word(task.kind),
        subject=subject_of(task),
        can_retry=can_retry(task),
    )


@router.get("/{task_id}/live")
def live_task(session: SessionDep, task_id: PathId, now: NowDep) -> Response:
    """The moving numbers of a task, for live.js."""
    return JSONResponse(task_numbers(session, task_id, now))


@router.post("/{task_id}/cancel")
def cancel_task(request: Request, session: SessionDep, task_id: PathId, now: NowDep) -> Response:
    """Ask a task to stop."""
    task = tasks.request_cancel(session, task_id, now)
    session.commit()
    queue.nudge(queue.HOP, task.id)
    return redirect(request, HERE, f"“{task.title}” stops after the step in hand.")


@router.post("/{task_id}/retry")
def retry_task(request: Request, session: SessionDep, user: PageUser, task_id: PathId, now: NowDep) -> Response:
    """Try a failed task again, as a new one."""
    again = retry(session, task_id, created_by=user.id, now=now)
    session.commit()
    queue.nudge(queue.HOP, again.id)
    return redirect(request, address_of(again), f"“{again.title}” is tried again.")


def task_numbers(session: Session, task_id: int, now: datetime) -> dict[str, Any]:
    """What of a task moves by itself. Raises NotFound."""
    return task_progress(tasks.get_task(session, task_id), now)


def open_tasks_numbers(session: Session, now: datetime) -> dict[str, Any]:  # noqa: ARG001 – a topic's shape
    """A `state` that changes when a task begins to wait or is over; the numbers of each are its own."""
    open_ids = select(Task.id).where(Task.finished_at.is_(None)).order_by(Task.id)
    known = ",".join(str(task_id) for task_id in session.scalars(open_ids))
    return {"state": sha256(known.encode()).hexdigest()[:12]}
