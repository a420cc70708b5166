"""Imports: a CSV file becomes contacts and subscriptions, in the background, row by row accounted for."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, ForeignKey, Select, delete, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.audience.import_contacts import ImportContact
from email_campaign.audience.import_files import ImportChunk, Incoming, Upload, begin, shown_name, store
from email_campaign.audience.import_layout import Layout, read_layout
from email_campaign.audience.lists import get_live_list
from email_campaign.db import Base, BigId, CreatedAt, SessionFactory
from email_campaign.errors import Invalid, NotFound
from email_campaign.settings import Settings
from email_campaign.tasks.tasks import Task, TaskState, create_task

TASK_KIND = "import"
DRAFT_KEPT_HOURS = 24
"""An uploaded file that nobody confirms goes after a day."""
FILE_KEPT_DAYS = 7
"""For so long an import that was cancelled or failed can be resumed: its file is kept."""
UNDO_KEPT_DAYS = 30
"""For so long an import that is over can be undone: what it did to whom is kept."""
REFUSALS_KEPT_DAYS = 90
REFUSALS_READ = 1_000
_FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")


class Import(Base):
    """One uploaded file on its way into one list (or none). Its task has progress, cursor and result.

    Without a task it is a draft: the file is there, and `mapping` waits to be confirmed. `line_count` is about right
    after the upload; `unreadable_count` is None until the file was checked, and then both are exact. `sends_welcome`
    says that those whom it confirms get the list's welcome mail. Once it is over it can be undone until
    `undoable_until`, which is empty when nothing is left to undo.

    rows = created + changed + unchanged + repeated + refused, after every step. Beside these stand how many of the
    people are suppressed or had unsubscribed (they are not mailed), and how many rows were not UTF-8.
    """

    __tablename__ = "imports"

    id: Mapped[BigId]
    list_id: Mapped[int | None] = mapped_column(ForeignKey("mailing_lists.id"), index=True)
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"), index=True)
    file_name: Mapped[str]
    file_bytes: Mapped[int]
    file_sha256: Mapped[bytes]
    mapping: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    layout: Mapped[dict[str, Any]] = mapped_column(JSONB)
    line_count: Mapped[int | None]
    unreadable_count: Mapped[int | None]
    sends_welcome: Mapped[bool] = mapped_column(server_default="false")
    undoable_until: Mapped[datetime | None]
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[CreatedAt]
    created_count: Mapped[int] = mapped_column(server_default="0")
    changed_count: Mapped[int] = mapped_column(server_default="0")
    unchanged_count: Mapped[int] = mapped_column(server_default="0")
    repeated_count: Mapped[int] = mapped_column(server_default="0")
    refused_count: Mapped[int] = mapped_column(server_default="0")
    suppressed_count: Mapped[int] = mapped_column(server_default="0")
    unsubscribed_count: Mapped[int] = mapped_column(server_default="0")
    recoded_count: Mapped[int] = mapped_column(server_default="0")


class ImportRefusal(Base):
    """A row that did not get in: its line in the file, what it said and why it was refused."""

    __tablename__ = "import_refusals"

    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    row: Mapped[str]
    reason: Mapped[str]


def start_import(session: Session, upload: Upload, settings: Settings, now: datetime) -> Import:
    """Store the file and make the task that imports it (`task_id`). Nothing stays behind unless the caller commits.

    Raises Invalid for a file that is no such CSV file, NotFound or Conflict for a list that is not there or archived.
    """
    incoming = begin(upload.stream, settings.import_max_bytes)
    layout = read_layout(incoming.head)
    return begin_task(session, take_in(session, upload, incoming, now), layout, now)


def take_in(session: Session, upload: Upload, incoming: Incoming, now: datetime) -> Import:
    """Store the file as an import that has no task yet. Raises as `start_import`."""
    if upload.list_id is not None:
        get_live_list(session, upload.list_id)
    if upload.sends_welcome:
        check_welcome(session, upload.list_id)
    taken = Import(
        list_id=upload.list_id,
        file_name=shown_name(upload.file_name),
        file_bytes=0,
        file_sha256=b"",
        layout={},
        sends_welcome=upload.sends_welcome,
        created_by=upload.created_by,
        created_at=now,
    )
    session.add(taken)
    session.flush()
    stored = store(session, taken.id, incoming)
    taken.file_bytes, taken.file_sha256, taken.line_count = stored.size, stored.sha256, stored.line_count
    session.flush()
    session.refresh(taken)
    return taken


def begin_task(session: Session, one: Import, layout: Layout, now: datetime) -> Import:
    """Make the task that imports the file as `layout` says. Raises Invalid, and as `get_live_list`."""
    title = f"Import of {one.file_name}"
    if one.list_id is not None:
        title += f" into {get_live_list(session, one.list_id).name}"
    if one.file_bytes <= layout.offset:
        raise Invalid.field("file", "The file has no rows below its first line, which names the columns.")
    one.layout = layout.to_json()
    one.undoable_until = now + timedelta(days=UNDO_KEPT_DAYS)
    task = create_task(session, kind=TASK_KIND, subject_id=one.id, title=title, created_by=one.created_by, now=now)
    task.cursor = {"offset": layout.offset, "line": layout.first_line}
    task.total_count = one.line_count
    one.task_id = task.id
    session.flush()
    return one


def check_welcome(session: Session, list_id: int | None) -> None:
    """Raises Invalid for the field `sends_welcome` where there is no welcome mail to be sent."""
    if list_id is None or get_live_list(session, list_id).welcome_template_id is None:
        raise Invalid.field("sends_welcome", "There is no welcome mail: the list has none, or they are put on no list.")


def get_import(session: Session, import_id: int) -> Import:
    """Raises NotFound."""
    found = session.get(Import, import_id)
    if found is None:
        raise _no_import(import_id)
    return found


def lock_import(session: Session, import_id: int) -> Import:
    """As `get_import`, under a row lock and read afresh."""
    found = session.get(Import, import_id, with_for_update=True, populate_existing=True)
    if found is None:
        raise _no_import(import_id)
    return found


def all_imports() -> Select[Import]:
    """Every import, unordered. Keyset pages go by id."""
    return select(Import)


def counts_of(one: Import) -> dict[str, int]:
    """What became of the rows, under the names that the result of the task has too."""
    by_outcome = {
        "created": one.created_count,
        "changed": one.changed_count,
        "unchanged": one.unchanged_count,
        "repeated": one.repeated_count,
        "refused": one.refused_count,
    }
    return {
        "rows": sum(by_outcome.values()),
        **by_outcome,
        "suppressed": one.suppressed_count,
        "unsubscribed": one.unsubscribed_count,
        "read_as_windows_1252": one.recoded_count,
        "ignored_columns": len(one.layout.get("ignored", ())),
    }


def refusals_of(import_id: int) -> Select[ImportRefusal]:
    """The refused rows of an import, unordered. Keyset pages go by line."""
    return select(ImportRefusal).where(ImportRefusal.import_id == import_id)


def refusals_csv(factory: SessionFactory, import_id: int) -> Iterator[str]:
    """The refused rows as a CSV file, piece by piece; no cell of it is a formula to a spreadsheet (OWASP).

    No transaction is open between two pieces, however slowly they are taken.
    """
    yield _csv_lines([["line", "reason", "row"]])
    line = 0
    while True:
        query = refusals_of(import_id).where(ImportRefusal.line > line).order_by(ImportRefusal.line)
        with factory() as session:
            refusals = session.scalars(query.limit(REFUSALS_READ)).all()
        if not refusals:
            return
        line = refusals[-1].line
        yield _csv_lines([str(one.line), _harmless(one.reason), _harmless(one.row)] for one in refusals)


def purge_imports(session: Session, now: datetime) -> int:
    """Drop what imports left behind, each after its time: files, drafts, refused rows, what was before (persons all).

    The number of rows that went. Safe to repeat.
    """
    over = select(Import.id).join(Task, Task.id == Import.task_id).where(Task.finished_at.is_not(None))
    put_aside = now - timedelta(days=FILE_KEPT_DAYS)
    done = over.where(or_(Task.state == TaskState.SUCCEEDED, Task.finished_at < put_aside))
    old = over.where(Task.finished_at < now - timedelta(days=REFUSALS_KEPT_DAYS))
    # By their ids: a table of millions is not looked through for imports that are not there.
    past_undo = session.scalars(over.where(Import.undoable_until < now)).all()
    session.execute(update(Import).where(Import.id.in_(past_undo)).values(undoable_until=None))
    gone = 0
    for statement in (
        delete(ImportContact).where(ImportContact.import_id.in_(past_undo)),
        delete(ImportChunk).where(ImportChunk.import_id.in_(done)),
        delete(ImportRefusal).where(ImportRefusal.import_id.in_(old)),
        delete(Import).where(Import.task_id.is_(None), Import.created_at < now - timedelta(hours=DRAFT_KEPT_HOURS)),
    ):
        gone += cast("CursorResult[Any]", session.execute(statement)).rowcount
    return gone


def _no_import(import_id: int) -> NotFound:
    return NotFound(f"There is no import {import_id}.")


def _csv_lines(rows: Iterable[list[str]]) -> str:
    lines = io.StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_BEGINNINGS) else cell
