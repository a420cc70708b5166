"""An import before its task and after it: a draft is looked at, started or discarded; one that stopped is resumed."""

from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from email_campaign.audience.attributes import is_storable
from email_campaign.audience.import_files import ImportChunk, Upload, begin, file_is_kept
from email_campaign.audience.import_mapping import FileMapping, layout_of
from email_campaign.audience.import_preview import detect, sample
from email_campaign.audience.imports import (
    FILE_KEPT_DAYS,
    Import,
    begin_task,
    check_welcome,
    counts_of,
    lock_import,
    take_in,
)
from email_campaign.audience.lists import get_live_list
from email_campaign.errors import Conflict, Invalid
from email_campaign.settings import Settings
from email_campaign.tasks.tasks import Task, TaskState, create_task


def draft_import(session: Session, upload: Upload, settings: Settings, now: datetime) -> Import:
    """Store the file, and how it is made by its first rows; nothing is imported. Raises as `imports.start_import`."""
    draft = take_in(session, upload, begin(upload.stream, settings.import_max_bytes), now)
    draft.mapping = detect(session, draft.id, settings).to_json()
    session.flush()
    return draft


def mapping_of(draft: Import) -> FileMapping:
    """How the file of a draft is to be read. Raises Conflict for an import that has none: it was started as it was."""
    if draft.mapping is None:
        raise Conflict("This import was started without a mapping: its first line named the columns.")
    return FileMapping.from_json(draft.mapping)


def change_mapping(session: Session, import_id: int, mapping: FileMapping) -> Import:
    """Keep a choice, good or not: `start_draft` judges it.

    Raises Invalid for a column's name that no row can hold, NotFound, and Conflict once the import was started.
    """
    draft = _locked_draft(session, import_id)
    for number, name in enumerate(mapping.columns, start=1):
        if not is_storable(name):
            raise Invalid.field(f"column_{number}", "The name has a character that is none.")
    draft.mapping = mapping.to_json()
    session.flush()
    return draft


def choose_welcome(session: Session, import_id: int, *, sends: bool) -> Import:
    """Whether those whom the import confirms get the welcome mail of the list.

    Raises Invalid where there is none, NotFound, and Conflict once the import was started.
    """
    draft = _locked_draft(session, import_id)
    if sends:
        check_welcome(session, draft.list_id)
    draft.sends_welcome = sends
    session.flush()
    return draft


def start_draft(session: Session, import_id: int, settings: Settings, now: datetime) -> Import:
    """Make the task that imports the file as its mapping says.

    Raises Invalid (one problem per column), NotFound, and Conflict once the import was started.
    """
    draft = _locked_draft(session, import_id)
    mapping = mapping_of(draft)
    return begin_task(session, draft, layout_of(mapping, sample(session, draft.id, mapping, settings)), now)


def discard_draft(session: Session, import_id: int) -> None:
    """Drop a draft with its file. Raises NotFound, and Conflict once the import was started."""
    session.delete(_locked_draft(session, import_id))
    session.flush()


def resumable_until(session: Session, one: Import, task: Task | None) -> datetime | None:
    """Until when an import that was cancelled or failed can go on where it stopped; None where it cannot."""
    if task is None or task.finished_at is None or task.state is TaskState.SUCCEEDED:
        return None
    return task.finished_at + timedelta(days=FILE_KEPT_DAYS) if file_is_kept(session, one.id) else None


def resume_import(session: Session, import_id: int, created_by: int | None, now: datetime) -> Import:
    """Go on with a cancelled or failed import where it stopped, as a new task (`task_id`).

    Raises NotFound, and Conflict where there is nothing to resume: it runs, it is done, or its file is gone.
    """
    one = lock_import(session, import_id)
    ended = session.get(Task, one.task_id) if one.task_id is not None else None
    if resumable_until(session, one, ended) is None or ended is None:
        raise Conflict("There is nothing to resume: the import runs, it is done, or its file is not kept any more.")
    if one.list_id is not None:
        get_live_list(session, one.list_id)
    task = create_task(session, kind=ended.kind, subject_id=one.id, title=ended.title, created_by=created_by, now=now)
    task.cursor, task.total_count = ended.cursor, ended.total_count
    task.done_count = task.earlier_count = ended.done_count
    one.task_id = task.id
    session.flush()
    return one


def reopen_import(session: Session, import_id: int, settings: Settings, now: datetime) -> Import:
    """Make an import that ended before its first row a draft again, so that its file is read in another way.

    Raises NotFound, and Conflict where rows of it are in already, or its file is gone.
    """
    one = lock_import(session, import_id)
    ended = session.get(Task, one.task_id) if one.task_id is not None else None
    if resumable_until(session, one, ended) is None or counts_of(one)["rows"]:
        raise Conflict("The file cannot be read in another way: rows of it are in already, or it is not kept any more.")
    one.task_id = one.unreadable_count = None
    one.created_at = now  # a draft has a day
    session.execute(
        update(ImportChunk)
        .where(ImportChunk.import_id == one.id)
        .values(line_count=None, text_count=None, unreadable_count=None)
    )
    one.mapping = one.mapping or detect(session, one.id, settings).to_json()
    session.flush()
    return one


def _locked_draft(session: Session, import_id: int) -> Import:
    draft = lock_import(session, import_id)
    if draft.task_id is not None:
        raise Conflict("This import was started already; its file cannot be read in another way any more.")
    return draft
