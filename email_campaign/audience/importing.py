"""Importing: one step takes a batch of rows into contacts and subscriptions, with its counts and its cursor."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from email_campaign.audience.import_checks import check_next
from email_campaign.audience.import_contacts import Trace, note_met, share_undo_lock
from email_campaign.audience.import_files import ImportChunk, file_from, hold_file
from email_campaign.audience.import_layout import Layout
from email_campaign.audience.import_people import save_people, subscribe_people
from email_campaign.audience.import_records import Record, records
from email_campaign.audience.import_rows import Person, RefusedRow, judge
from email_campaign.audience.imports import UNDO_KEPT_DAYS, Import, ImportRefusal, counts_of
from email_campaign.audience.lists import get_live_list
from email_campaign.settings import Settings
from email_campaign.tasks.running import Handler, Step
from email_campaign.tasks.tasks import Task, TaskState

BATCH_ROWS = 2_000
"""About a fifth of a second of work: so much is lost with a killed worker, and done again."""


@dataclass(slots=True)
class _Batch:
    """The rows of one step, sorted into people and refusals."""

    people: dict[str, Person] = field(default_factory=dict)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    record_count: int = 0
    row_count: int = 0
    recoded_count: int = 0
    last: Record | None = None


def _step(session: Session, task: Task, settings: Settings, now: datetime) -> Step:
    running = session.get_one(Import, task.subject_id)
    if running.list_id is not None:
        get_live_list(session, running.list_id)
    hold_file(session, running.id)
    layout = Layout.from_json(running.layout)
    if task.cursor["offset"] == layout.offset and not check_next(session, running, task, settings):
        return Step(task.cursor, 0, more=True)
    batch = _read(session, running, layout, task.cursor, settings)
    _save(session, running, batch, settings, now)
    if batch.last is None or batch.record_count < BATCH_ROWS:
        return Step(task.cursor, task.total_count or 0, more=False)
    cursor = {"offset": batch.last.end_offset, "line": batch.last.end_line}
    return Step(cursor, batch.last.end_line - 1, more=True)


def _close(session: Session, task: Task, settings: Settings, now: datetime) -> Mapping[str, Any]:  # noqa: ARG001 – a handler's shape
    """The result says what got in, also when only a part did: then the file is kept for a while, to go on with it."""
    ended = session.get_one(Import, task.subject_id)
    complete = task.state is TaskState.SUCCEEDED
    if complete:
        session.execute(delete(ImportChunk).where(ImportChunk.import_id == ended.id))
    has_met = ended.created_count + ended.changed_count + ended.unchanged_count > 0
    ended.undoable_until = now + timedelta(days=UNDO_KEPT_DAYS) if has_met else None
    return {**counts_of(ended), "complete": complete, "line_count": task.done_count}


IMPORT_HANDLER = Handler(step=_step, close=_close)
"""For tasks of the kind `imports.TASK_KIND`; `subject_id` is the import's id."""


def _read(session: Session, running: Import, layout: Layout, cursor: Mapping[str, Any], settings: Settings) -> _Batch:
    offset = int(cursor["offset"])
    rows: Iterator[Record] = records(
        file_from(session, running.id, offset),
        delimiter=layout.delimiter,
        encoding=layout.encoding,
        offset=offset,
        line=int(cursor["line"]),
        max_cell_characters=settings.import_max_cell_characters,
    )
    batch = _Batch()
    for record in islice(rows, BATCH_ROWS):
        batch.last = record
        batch.record_count += 1
        if not record.cells and not record.problem:
            continue  # a blank line
        batch.row_count += 1
        batch.recoded_count += record.recoded
        try:
            person = judge(record, layout, settings.import_max_cell_characters)
        except RefusedRow as refused:
            batch.refusals.append(
                {"import_id": running.id, "line": record.line, "row": record.text, "reason": str(refused)}
            )
            continue
        earlier = batch.people.setdefault(person.address, person)
        if earlier is not person:
            earlier.then(person)
    return batch


def _save(session: Session, running: Import, batch: _Batch, settings: Settings, now: datetime) -> None:
    if batch.refusals:
        session.execute(insert(ImportRefusal), batch.refusals)
    running.refused_count += len(batch.refusals)
    running.recoded_count += batch.recoded_count
    if not batch.people:
        return
    share_undo_lock(session)
    saved = save_people(session, batch.people, settings, now)
    met = note_met(session, running.id, saved)
    for contact_id in met:
        match saved[contact_id]:
            case Trace(was_created=True):
                running.created_count += 1
            case Trace(mark=None):
                running.unchanged_count += 1
            case _:
                running.changed_count += 1
    running.repeated_count += batch.row_count - len(batch.refusals) - len(met)
    standing = subscribe_people(session, running, list(saved), met, now)
    running.suppressed_count += standing.suppressed
    running.unsubscribed_count += standing.unsubscribed
