"""Pages: undoing an import. What would go, what would stay and why, before it is done?"""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign import queue
from email_campaign.audience import import_undo, imports
from email_campaign.audience.imports import Import
from email_campaign.delivery.mailed import mailed
from email_campaign.errors import Conflict
from email_campaign.tasks import tasks
from email_campaign.tasks.tasks import Task, TaskState
from email_campaign.web.deps import NowDep, PageUser, PathId, SessionDep
from email_campaign.web.pages import redirect, render

ASK = "admin/imports/undo.html"
HERE = "/admin/imports"

router = APIRouter(prefix="/imports/{import_id}/undo")


@router.get("")
def ask(request: Request, session: SessionDep, import_id: PathId, now: NowDep) -> Response:
    """What an undo would do now, before it does."""
    one = imports.get_import(session, import_id)
    try:
        foreseen = import_undo.foresee(session, import_id, mailed, now)
    except Conflict as error:
        return redirect(request, f"{HERE}/{import_id}", error.message, "warning")
    return render(request, ASK, one=one, foreseen=foreseen)


@router.post("")
def undo_import(request: Request, session: SessionDep, user: PageUser, import_id: PathId, now: NowDep) -> Response:
    """Take back what the import did and nothing else has touched since."""
    try:
        undo = import_undo.begin_undo(session, import_id, created_by=user.id, now=now)
    except Conflict as error:
        return redirect(request, f"{HERE}/{import_id}", error.message, "warning")
    session.commit()
    queue.nudge(queue.HOP, undo.id)
    return redirect(request, f"{HERE}/{import_id}")


def undo_context(session: Session, one: Import, task: Task | None, now: datetime) -> dict[str, Any]:
    """What the page of an import says of its undo: the last one, and whether there is (more) to be undone."""
    undo = import_undo.last_undos(session, [one.id]).get(one.id)
    is_open = undo is not None and undo.finished_at is None
    return {
        "undo": undo,
        "undone": undo_word(undo),
        "undo_pace": tasks.pace(undo, now) if undo else None,
        "undoable_until": one.undoable_until if not is_open and import_undo.is_undoable(one, task, now) else None,
    }


def undo_word(undo: Task | None) -> str:
    """What a list says of an import that was undone, or is being undone; empty for one that was not."""
    if undo is None:
        return ""
    if undo.finished_at is None:
        return "being undone"
    return "undone" if undo.state is TaskState.SUCCEEDED and (undo.result or {}).get("complete") else "undone in part"
