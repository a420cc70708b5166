"""Pages: imports. Did everybody get in?"""

from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from email_campaign import queue
from email_campaign.accounts.users import User
from email_campaign.audience import import_checks, imports, lists
from email_campaign.audience import import_drafts as drafts
from email_campaign.audience.import_files import Upload
from email_campaign.audience.import_undo import last_undos
from email_campaign.audience.imports import Import, ImportRefusal
from email_campaign.audience.lists import MailingList
from email_campaign.errors import Conflict, FieldProblem, Invalid, NotFound
from email_campaign.tasks import tasks
from email_campaign.tasks.tasks import Task
from email_campaign.web.admin.import_mapping import show_draft
from email_campaign.web.admin.import_undo import undo_context, undo_word
from email_campaign.web.admin.listing import read_listing
from email_campaign.web.admin.task_words import task_progress
from email_campaign.web.deps import FactoryDep, NowDep, PageUser, PathId, SessionDep, SettingsDep
from email_campaign.web.forms import Form, FormDep, whole_number
from email_campaign.web.pages import redirect, refuse_form, render
from email_campaign.web.paging import PageDep

LIST = "admin/imports/list.html"
NEW = "admin/imports/new.html"
ONE = "admin/imports/import.html"
HERE = "/admin/imports"
READ_BYTES = 256 * 1024
LISTS_OFFERED = 500

router = APIRouter(prefix="/imports")


@router.get("")
def list_imports(request: Request, session: SessionDep, page: PageDep) -> Response:
    """Imports, the newest first."""
    listing = read_listing(request, session, imports.all_imports(), [Import.id], page)
    task_ids = [one.task_id for one in listing.items]
    by_id = {task.id: task for task in session.scalars(select(Task).where(Task.id.in_(task_ids)))}
    named = session.scalars(select(MailingList).where(MailingList.id.in_([one.list_id for one in listing.items])))
    names = {one.id: one.name for one in named}
    undos = last_undos(session, [one.id for one in listing.items])
    rows = [
        {
            "import": one,
            "undone": undo_word(undos.get(one.id)),
            "task": by_id.get(one.task_id or 0),
            "counts": imports.counts_of(one),
            "list": names.get(one.list_id or 0, ""),
        }
        for one in listing.items
    ]
    return render(request, LIST, listing=listing, rows=rows)


@router.get("/new")
def new_import(
    request: Request, session: SessionDep, settings: SettingsDep, list_id: Annotated[int | None, Query()] = None
) -> Response:
    """The form: which file, into which list."""
    context: dict[str, Any] = {"lists": _lists(session), "max_bytes": settings.import_max_bytes}
    return render(request, NEW, values={"list_id": list_id}, errors={}, form_error="", **context)


@router.post("")
def upload_file(
    request: Request, session: SessionDep, settings: SettingsDep, user: PageUser, form: FormDep, now: NowDep
) -> Response:
    """Take the file as a draft: how it is read is looked at before anything of it is imported."""
    try:
        file = form.file("file")
        if file is None:
            raise Invalid.field("file", "Choose the CSV file first.")
        upload = Upload(
            file_name=file.filename or "",
            stream=iter(partial(file.file.read, READ_BYTES), b""),
            list_id=_list_for(session, form, now),
            created_by=user.id,
        )
        draft = drafts.draft_import(session, upload, settings, now)
    except Invalid as error:
        session.rollback()
        context: dict[str, Any] = {"lists": _lists(session), "max_bytes": settings.import_max_bytes}
        return refuse_form(request, NEW, form, error, **context)
    session.commit()
    return redirect(request, f"{HERE}/{draft.id}")


@router.get("/{import_id}")
def show_import(
    request: Request, session: SessionDep, settings: SettingsDep, import_id: PathId, page: PageDep, now: NowDep
) -> Response:
    """A draft with its mapping; or how far the import is, and what came of it."""
    if imports.get_import(session, import_id).task_id is None:
        return show_draft(request, session, import_id, settings)
    one, task = _import(session, import_id)
    listing = read_listing(request, session, imports.refusals_of(import_id), [ImportRefusal.line], page, ascending=True)
    return render(
        request,
        ONE,
        one=one,
        task=task,
        counts=imports.counts_of(one),
        pace=tasks.pace(task, now),
        listing=listing,
        list=session.get(MailingList, one.list_id) if one.list_id else None,
        by=session.get(User, one.created_by) if one.created_by else None,
        refusals_kept_days=imports.REFUSALS_KEPT_DAYS,
        resumable_until=drafts.resumable_until(session, one, task),
        stage=_stage(session, one, task),
        **undo_context(session, one, task, now),
    )


@router.get("/{import_id}/live")
def live_import(session: SessionDep, import_id: PathId, now: NowDep) -> Response:
    """The moving numbers of an import, for live.js."""
    return JSONResponse(import_numbers(session, import_id, now))


def import_numbers(session: Session, import_id: int, now: datetime) -> dict[str, Any]:
    """What of an import moves by itself. Raises NotFound."""
    one, task = _import(session, import_id)
    counts = imports.counts_of(one)
    said = f"{counts['created']:,} new, {counts['changed']:,} changed, {counts['refused']:,} refused."
    return task_progress(task, now) | {"rows": counts, "sentence": said, "stage": _stage(session, one, task)}


@router.get("/{import_id}/refusals.csv")
def download_refusals(session: SessionDep, factory: FactoryDep, import_id: PathId) -> Response:
    """The refused rows as a CSV file."""
    imports.get_import(session, import_id)
    return StreamingResponse(
        imports.refusals_csv(factory, import_id),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="import-{import_id}-refusals.csv"'},
    )


@router.post("/{import_id}/cancel")
def cancel_import(request: Request, session: SessionDep, import_id: PathId, now: NowDep) -> Response:
    """Ask the import to stop."""
    _, task = _import(session, import_id)
    tasks.request_cancel(session, task.id, now)
    session.commit()
    queue.nudge(queue.HOP, task.id)
    return redirect(request, f"{HERE}/{import_id}", "The import stops after the rows in hand.")


@router.post("/{import_id}/resume")
def resume_import(request: Request, session: SessionDep, user: PageUser, import_id: PathId, now: NowDep) -> Response:
    """Go on with an import that was cancelled or failed."""
    resumed = drafts.resume_import(session, import_id, user.id, now)
    session.commit()
    if resumed.task_id is not None:
        queue.nudge(queue.HOP, resumed.task_id)
    return redirect(request, f"{HERE}/{import_id}", "The import goes on where it stopped.")


@router.post("/{import_id}/reopen")
def reopen_import(
    request: Request, session: SessionDep, settings: SettingsDep, import_id: PathId, now: NowDep
) -> Response:
    """Look again at how the file is read, where nothing of it was imported."""
    drafts.reopen_import(session, import_id, settings, now)
    session.commit()
    return redirect(request, f"{HERE}/{import_id}")


def _import(session: Session, import_id: int) -> tuple[Import, Task]:
    one = imports.get_import(session, import_id)
    if one.task_id is None:
        raise Conflict("This import was not started yet; its file waits for you to say how it is read.")
    task = session.get_one(Task, one.task_id)
    session.refresh(one)  # never older than its task: one that is done shows all its counts
    return one, task


def _stage(session: Session, one: Import, task: Task) -> str:
    """What an import does before its first row; empty for one that is beyond."""
    if task.finished_at is not None or one.unreadable_count is not None:
        return ""
    checked, total = import_checks.checked_parts(session, one.id)
    return f"The file is checked first: {checked:,} of {total:,} parts." if total > 1 else ""


def _lists(session: Session) -> list[MailingList]:
    return list(session.scalars(lists.live_lists().order_by(MailingList.name).limit(LISTS_OFFERED)))


def _list_for(session: Session, form: Form, now: Any) -> int | None:
    """The chosen list, or a new one; None for contacts only. Raises Invalid."""
    chosen, named = form["list_id"], form["new_list"]
    if chosen and named:
        raise Invalid.field("new_list", "Choose a list above, or name a new one here; not both.")
    try:
        if named:
            return lists.create_list(session, named, "", now).id
        return lists.get_live_list(session, whole_number(chosen) or 0).id if chosen else None
    except Invalid as error:
        problems = [FieldProblem("new_list", problem.message) for problem in error.problems]
        raise Invalid(error.message, problems) from error
    except (Conflict, NotFound) as error:
        raise Invalid.field("new_list" if named else "list_id", error.message) from error
