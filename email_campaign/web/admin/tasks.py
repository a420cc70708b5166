"""Pages: tasks. What is the machine doing?"""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from email_campaign import queue
from email_campaign.accounts.users import User
from email_campaign.audience.imports import TASK_KIND as IMPORT
from email_campaign.delivery.proof_task import TASK_KIND as PROOF
from email_campaign.tasks import tasks
from email_campaign.tasks.tasks import Task, TaskState
from email_campaign.web.admin.listing import read_listing
from email_campaign.web.deps import NowDep, PathId, SessionDep
from email_campaign.web.formatting import number
from email_campaign.web.pages import redirect, render
from email_campaign.web.paging import PageDep

LIST = "admin/tasks/list.html"
ONE = "admin/tasks/task.html"
HERE = "/admin/tasks"
CARDS = 20
"""So many open tasks get a card of their own; the rest is counted."""
OPEN = (TaskState.RUNNING, TaskState.WAITING)
OVER = (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED)

RESULT_WORDS = {
    "rows": "Rows in all",
    "created": "New contacts",
    "changed": "Changed contacts",
    "unchanged": "Unchanged contacts",
    "repeated": "Repeated rows",
    "refused": "Refused rows",
    "suppressed": "Suppressed, and stay so",
    "unsubscribed": "Unsubscribed, and stay so",
    "read_as_windows_1252": "Rows read as Windows-1252",
    "ignored_columns": "Columns left out",
}
"""A result's names as the page says them; one that is not known here reads as it is stored."""

router = APIRouter(prefix="/tasks")


@router.get("")
def list_tasks(
    request: Request,
    session: SessionDep,
    page: PageDep,
    now: NowDep,
    state: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """What runs and waits as cards, what is over as a table."""
    chosen = TaskState(state) if state in [one.value for one in OVER] else None
    listing = read_listing(
        request, session, tasks.all_tasks(*((chosen,) if chosen else OVER)), [Task.id], page, is_filtered=True
    )
    still_open = select(Task).where(Task.finished_at.is_(None))
    cards = session.scalars(still_open.order_by(Task.state, Task.id).limit(CARDS)).all()
    open_count = session.scalar(select(func.count()).select_from(still_open.subquery())) or 0
    return render(
        request,
        LIST,
        listing=listing,
        cards=[(task, tasks.pace(task, now)) for task in cards],
        more_open=open_count - len(cards),
        state=chosen.value if chosen else "",
        address_of=_address_of,
        states=[one.value for one in OVER],
    )


@router.get("/{task_id}")
def show_task(request: Request, session: SessionDep, task_id: PathId, now: NowDep) -> Response:
    """One task."""
    task = tasks.get_task(session, task_id)
    return render(
        request,
        ONE,
        task=task,
        pace=tasks.pace(task, now),
        by=session.get(User, task.created_by) if task.created_by else None,
        result=_shown(task.result or {}),
        subject_url=_address_of(task) if task.kind in _TOLD_ELSEWHERE else "",
        subject_word=task.kind,
    )


@router.get("/{task_id}/live")
def live_task(session: SessionDep, task_id: PathId, now: NowDep) -> Response:
    """The moving numbers of a task, for live.js."""
    task = tasks.get_task(session, task_id)
    pace = tasks.pace(task, now)
    return JSONResponse(
        {
            "done": task.finished_at is not None,
            "done_count": task.done_count,
            "total_count": task.total_count,
            "rate": pace.per_second,
            "seconds_left": pace.seconds_left,
        }
    )


@router.post("/{task_id}/cancel")
def cancel_task(request: Request, session: SessionDep, task_id: PathId, now: NowDep) -> Response:
    """Ask a task to stop."""
    task = tasks.request_cancel(session, task_id, now)
    session.commit()
    queue.nudge(queue.HOP, task.id)
    return redirect(request, HERE, f"“{task.title}” stops after the step in hand.")


def _address_of(task: Task) -> str:
    """Where the task is told best: an import and a proof have pages of their own."""
    return _TOLD_ELSEWHERE[task.kind].format(task.subject_id) if task.kind in _TOLD_ELSEWHERE else f"{HERE}/{task.id}"


_TOLD_ELSEWHERE = {IMPORT: "/admin/imports/{}", PROOF: "/admin/campaigns/{}/proof"}


def _shown(result: Mapping[str, Any]) -> list[tuple[str, Any]]:
    names = sorted(result, key=lambda name: _PLACE.get(name, len(_PLACE)))
    return [
        (RESULT_WORDS.get(name, name.replace("_", " ").capitalize()), _value_shown(result[name]))
        for name in names
        if isinstance(result[name], str | int | float)
    ]


def _value_shown(value: str | float) -> str:
    """A value in words, as every page writes numbers."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else number(value)


_PLACE = {name: place for place, name in enumerate(RESULT_WORDS)}
