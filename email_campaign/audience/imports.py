"""Imports: a CSV file becomes contacts and subscriptions, in the background, row by row accounted for."""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import chain, count
from typing import Any

from sqlalchemy import ForeignKey, Select, delete, insert, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.audience.attributes import is_storable
from email_campaign.audience.import_layout import HEAD_BYTES, read_layout
from email_campaign.audience.import_records import as_utf8
from email_campaign.audience.lists import get_live_list
from email_campaign.db import Base, BigId, CreatedAt, SessionFactory
from email_campaign.errors import Invalid, NotFound
from email_campaign.settings import Settings
from email_campaign.tasks.tasks import Task, create_task

TASK_KIND = "import"
CHUNK_BYTES = 256 * 1024
REFUSALS_KEPT_DAYS = 90
REFUSALS_READ = 1_000
_FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")


class Import(Base):
    """One uploaded file on its way into one list (or none). Its task has progress, cursor and result.

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
    layout: Mapped[dict[str, Any]] = mapped_column(JSONB)
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


class ImportChunk(Base):
    """A piece of an uploaded file. It stands in Postgres, so that any worker on any machine can go on with it."""

    __tablename__ = "import_chunks"

    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes]


class ImportContact(Base):
    """Whom an import has met already, while it runs: who comes again in the file is a repeated row, not a person."""

    __tablename__ = "import_contacts"

    import_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    contact_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class ImportRefusal(Base):
    """A row that did not get in: its line in the file, what it said and why it was refused."""

    __tablename__ = "import_refusals"

    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    row: Mapped[str]
    reason: Mapped[str]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it comes in. `stream` yields its bytes and never waits for a stranger: a transaction is open."""

    file_name: str
    stream: Iterable[bytes]
    list_id: int | None
    created_by: int | None


def start_import(session: Session, upload: Upload, settings: Settings, now: datetime) -> Import:
    """Store the file and make the task that imports it (`task_id`). Nothing stays behind unless the caller commits.

    Raises Invalid for a file that is no such CSV file, NotFound or Conflict for a list that is not there or archived.
    """
    title = f"Import of {_shown(upload.file_name)}"
    if upload.list_id is not None:
        title += f" into {get_live_list(session, upload.list_id).name}"
    digest, pieces = hashlib.sha256(), as_utf8(_limited(upload.stream, settings.import_max_bytes))
    head = _first(pieces)
    layout = read_layout(head)
    started = Import(
        list_id=upload.list_id,
        file_name=_shown(upload.file_name),
        file_bytes=0,
        file_sha256=b"",
        layout=asdict(layout),
        created_by=upload.created_by,
        created_at=now,
    )
    session.add(started)
    session.flush()
    line_count, last_byte = 0, b""
    for number, content in enumerate(_chunks(chain([head], pieces))):
        digest.update(content)
        started.file_bytes += len(content)
        line_count += max(content.count(b"\n"), content.count(b"\r"))
        last_byte = content[-1:]
        session.execute(insert(ImportChunk).values(import_id=started.id, number=number, content=content))
    if started.file_bytes <= layout.offset:
        raise Invalid.field("file", "The file has no rows below its first line, which names the columns.")
    started.file_sha256 = digest.digest()
    task = create_task(
        session, kind=TASK_KIND, subject_id=started.id, title=title, created_by=upload.created_by, now=now
    )
    task.cursor = {"offset": layout.offset, "line": layout.first_line}
    task.total_count = line_count if last_byte in (b"\n", b"\r") else line_count + 1
    started.task_id = task.id
    session.flush()
    session.refresh(started)
    return started


def get_import(session: Session, import_id: int) -> Import:
    """Raises NotFound."""
    found = session.get(Import, import_id)
    if found is None:
        raise NotFound(f"There is no import {import_id}.")
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
        "ignored_columns": len(one.layout["ignored"]),
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


def file_from(session: Session, import_id: int, offset: int) -> Iterator[bytes]:
    """The content of an import's file from a byte on, a chunk at a time."""
    for number in count(offset // CHUNK_BYTES):
        content = session.scalar(
            select(ImportChunk.content).where(ImportChunk.import_id == import_id, ImportChunk.number == number)
        )
        if content is None:
            return
        yield content[offset % CHUNK_BYTES :] if number == offset // CHUNK_BYTES else content


def purge_imports(session: Session, now: datetime) -> int:
    """Drop what ended imports left behind: files at once, refused rows (they may hold addresses) after 90 days.

    The number of rows that went. Safe to repeat.
    """
    over = select(Import.id).join(Task, Task.id == Import.task_id).where(Task.finished_at.is_not(None))
    old = over.where(Task.finished_at < now - timedelta(days=REFUSALS_KEPT_DAYS))
    gone = 0
    for statement in (
        delete(ImportChunk).where(ImportChunk.import_id.in_(over)),
        delete(ImportContact).where(ImportContact.import_id.in_(over)),
        delete(ImportRefusal).where(ImportRefusal.import_id.in_(old)),
    ):
        gone += len(session.execute(statement.returning(literal(1))).all())
    return gone


def _limited(stream: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    size = 0
    for piece in stream:
        size += len(piece)
        if size > max_bytes:
            limit = f"{max_bytes / 1024 / 1024:,.0f} MB" if max_bytes >= 1024 * 1024 else f"{max_bytes:,} bytes"
            raise Invalid.field("file", f"The file is larger than {limit}; split it, or raise IMPORT_MAX_BYTES.")
        yield piece


def _first(pieces: Iterator[bytes]) -> bytes:
    head = b""
    while len(head) < HEAD_BYTES and (piece := next(pieces, None)) is not None:
        head += piece
    return head


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of exactly CHUNK_BYTES, but for the last: an offset tells the chunk."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= CHUNK_BYTES:
            yield bytes(buffer[:CHUNK_BYTES])
            del buffer[:CHUNK_BYTES]
    if buffer:
        yield bytes(buffer)


def _shown(file_name: str) -> str:
    """The last part of a client's file name, fit to be shown."""
    name = re.split(r"[/\\]", file_name)[-1]
    return (
        "".join(character for character in name if character.isprintable() and is_storable(character))[:200] or "file"
    )


def _csv_lines(rows: Iterable[list[str]]) -> str:
    lines = io.StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_BEGINNINGS) else cell
