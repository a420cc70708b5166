"""API: importing contacts from a CSV file."""

from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.datastructures import FormData, UploadFile

from email_campaign import queue
from email_campaign.audience import import_drafts as drafts
from email_campaign.audience import imports
from email_campaign.audience.import_files import Upload
from email_campaign.audience.import_undo import is_undoable, last_undos
from email_campaign.audience.imports import Import, ImportRefusal
from email_campaign.errors import Invalid
from email_campaign.tasks.tasks import Task, TaskState
from email_campaign.web.api.import_mapping import mapping_of_form, remap
from email_campaign.web.deps import ApiUser, FactoryDep, NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.forms import whole_number
from email_campaign.web.idempotency import OnceDep
from email_campaign.web.paging import Page, PageDep, read_page

router = APIRouter(prefix="/imports", tags=["imports"])

READ_BYTES = 256 * 1024
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}
UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "x-file": "people.csv",
                            "description": "A CSV file. Without `mapping` its first line names the columns, one of "
                            "them address or email. UTF-8, or UTF-16 with its mark; delimited by comma, semicolon, "
                            "tab or bar.",
                        },
                        "list_id": {
                            "type": "integer",
                            "example": 1,
                            "description": "The list that they are put on; without it they become contacts only.",
                        },
                        "mapping": {
                            "type": "string",
                            "example": '{"columns": ["address", "name", "city"]}',
                            "description": "How the file is read, as JSON: `delimiter`, `encoding`, `has_header`, "
                            "`columns`; what it leaves out is found out by the first rows.",
                        },
                        "sends_welcome": {
                            "type": "boolean",
                            "default": False,
                            "description": "With true, those whom the import confirms get the welcome mail of the "
                            "list, once a list and address for ever. 422 where the list has none.",
                        },
                        "start": {
                            "type": "boolean",
                            "default": True,
                            "description": "With false the file becomes a draft: look at `GET …/mapping`, change it "
                            "with `PATCH`, and import it with `POST …/start` within a day.",
                        },
                    },
                }
            }
        },
    }
}


class CountsOut(BaseModel):
    """What became of the rows so far: rows = created + changed + unchanged + repeated + refused."""

    rows: int
    created: int
    changed: int
    unchanged: int
    repeated: int = Field(description="Rows whose address stood in the file before; the later row has the last word.")
    refused: int = Field(description="Rows that did not get in; see the refusals.")
    suppressed: int = Field(description="People who are imported and not mailed, for their address is suppressed.")
    unsubscribed: int = Field(description="People who had unsubscribed from the list and stay so.")
    read_as_windows_1252: int = Field(description="Rows that were not UTF-8.")
    ignored_columns: int = Field(description="Columns that were left out.")


class ImportOut(BaseModel):
    """An import. Its task has the progress."""

    id: int
    task_id: int | None = Field(description="Null for a draft; a resumed import has a new task.")
    list_id: int | None
    file_name: Annotated[str, Field(examples=["people.csv"])]
    file_bytes: Annotated[int, Field(description="As it is stored, in UTF-8.", examples=[48_210])]
    state: TaskState | Literal["draft"]
    counts: CountsOut
    created_at: datetime
    resumable_until: datetime | None = Field(
        description="Until when it can go on where it stopped; null where there is nothing to resume."
    )
    sends_welcome: bool = Field(description="Whether those whom it confirms get the welcome mail of the list.")
    undoable_until: datetime | None = Field(
        description="Until when it can be undone; null before it is over, and where nothing is left to undo."
    )
    undo_task_id: int | None = Field(description="The task of the undo that was asked for last, with what came of it.")


class RefusalOut(BaseModel):
    """A row that did not get in."""

    model_config = ConfigDict(from_attributes=True)

    line: Annotated[int, Field(description="The line of the file on which the row begins, from 1.", examples=[17])]
    reason: Annotated[str, Field(examples=["The address needs the form name@domain."])]
    row: Annotated[str, Field(description="The row as it was, up to 2,000 characters.", examples=["nobody,Ada"])]


async def _uploaded(request: Request, _user: ApiUser) -> AsyncIterator[FormData]:
    """The form, read only after the token was found good: a stranger's file never reaches the disk."""
    async with request.form(max_files=1, max_fields=10) as form:
        yield form


@router.post("", status_code=202, openapi_extra=UPLOAD)
def start_import(
    session: SessionDep,
    settings: SettingsDep,
    user: ApiUser,
    now: NowDep,
    form: Annotated[FormData, Depends(_uploaded)],
    once: OnceDep,
) -> ImportOut:
    """Take a file and import it in the background. A file that is none is refused at once. Safe to repeat."""
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise Invalid.field("file", "Send the CSV file as the field `file` of a multipart form.")
    upload = Upload(
        file_name=file.filename or "",
        stream=iter(partial(file.file.read, READ_BYTES), b""),
        list_id=_list_id(form),
        created_by=user.id,
        sends_welcome=_is_true(form, "sends_welcome", "false"),
    )
    starts, mapping = _is_true(form, "start", "true"), form.get("mapping")
    if starts and not mapping:
        taken = imports.start_import(session, upload, settings, now)
    else:
        taken = drafts.draft_import(session, upload, settings, now)
        if mapping:
            remap(session, taken, mapping_of_form(mapping), settings)
        if starts:
            drafts.start_draft(session, taken.id, settings, now)
    answer = shown_import(session, taken, _task(session, taken), now)
    once.keep(202, answer)
    session.commit()
    if taken.task_id is not None:
        queue.nudge(queue.CHECK, taken.id)
    return answer


@router.post("/{import_id}/start", status_code=202)
def start_draft(session: SessionDep, settings: SettingsDep, now: NowDep, once: OnceDep, import_id: PathId) -> ImportOut:
    """Import a draft as its mapping says. 409 once it was started."""
    started = drafts.start_draft(session, import_id, settings, now)
    answer = shown_import(session, started, _task(session, started), now)
    once.keep(202, answer)
    session.commit()
    queue.nudge(queue.CHECK, started.id)
    return answer


@router.post("/{import_id}/resume", status_code=202)
def resume_import(session: SessionDep, user: ApiUser, now: NowDep, once: OnceDep, import_id: PathId) -> ImportOut:
    """Go on with a cancelled or failed import where it stopped, with a new task. 409 where nothing stopped."""
    resumed = drafts.resume_import(session, import_id, user.id, now)
    task = _task(session, resumed)
    answer = shown_import(session, resumed, task, now)
    once.keep(202, answer)
    session.commit()
    if task is not None:
        queue.nudge(queue.HOP, task.id)
    return answer


@router.delete("/{import_id}", status_code=204)
def discard_draft(session: SessionDep, import_id: PathId) -> None:
    """Drop a draft with its file. 409 once it was started."""
    drafts.discard_draft(session, import_id)
    session.commit()


@router.get("")
def list_imports(session: SessionDep, page: PageDep, now: NowDep) -> Page[ImportOut]:
    """Imports, the newest first."""
    rows = read_page(session, imports.all_imports(), [Import.id], page)
    tasks = {
        task.id: task for task in session.scalars(select(Task).where(Task.id.in_([one.task_id for one in rows.items])))
    }
    for one in rows.items:
        session.refresh(one)  # never older than its task: one that is done shows all its counts
    undos = last_undos(session, [one.id for one in rows.items])
    items = [shown_import(session, one, tasks.get(one.task_id or 0), now, undos.get(one.id)) for one in rows.items]
    return Page(items=items, next=rows.next)


@router.get("/{import_id}")
def show_import(session: SessionDep, now: NowDep, import_id: PathId) -> ImportOut:
    """An import with its counts so far."""
    one = imports.get_import(session, import_id)
    task = _task(session, one)
    session.refresh(one)  # never older than its task: one that is done shows all its counts
    return shown_import(session, one, task, now, last_undos(session, [one.id]).get(one.id))


@router.get("/{import_id}/refusals")
def list_refusals(session: SessionDep, page: PageDep, import_id: PathId) -> Page[RefusalOut]:
    """The rows that did not get in, by line."""
    imports.get_import(session, import_id)
    rows = read_page(session, imports.refusals_of(import_id), [ImportRefusal.line], page, ascending=True)
    return Page(items=[RefusalOut.model_validate(one) for one in rows.items], next=rows.next)


@router.get("/{import_id}/refusals.csv", response_class=StreamingResponse, responses=CSV)
def download_refusals(session: SessionDep, factory: FactoryDep, import_id: PathId) -> StreamingResponse:
    """The rows that did not get in, as a CSV file; cells that a spreadsheet would calculate begin with '."""
    imports.get_import(session, import_id)
    return StreamingResponse(
        imports.refusals_csv(factory, import_id),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="import-{import_id}-refusals.csv"'},
    )


def shown_import(
    session: Session, one: Import, task: Task | None, now: datetime, undo: Task | None = None
) -> ImportOut:
    """An import with its task, and the undo that was asked for last."""
    can_undo = is_undoable(one, task, now) and (undo is None or undo.finished_at is not None)
    return ImportOut(
        id=one.id,
        task_id=one.task_id,
        list_id=one.list_id,
        file_name=one.file_name,
        file_bytes=one.file_bytes,
        state="draft" if task is None else task.state,
        counts=CountsOut(**imports.counts_of(one)),
        created_at=one.created_at,
        resumable_until=drafts.resumable_until(session, one, task),
        sends_welcome=one.sends_welcome,
        undoable_until=one.undoable_until if can_undo else None,
        undo_task_id=undo.id if undo else None,
    )


def _list_id(form: FormData) -> int | None:
    text = form.get("list_id") or ""
    if text == "":
        return None
    list_id = whole_number(text) if isinstance(text, str) else None
    if list_id is None:
        raise Invalid.field("list_id", "The list is given by its id, a number.")
    return list_id


def _is_true(form: FormData, name: str, usual: str) -> bool:
    text = form.get(name) or usual
    if text not in ("true", "false"):
        raise Invalid.field(name, "Say true or false.")
    return text == "true"


def _task(session: Session, one: Import) -> Task | None:
    return session.get(Task, one.task_id) if one.task_id is not None else None
