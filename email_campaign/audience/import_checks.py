"""The check of an uploaded file before anything of it is imported: parts of it, side by side and in any order.

Each part is checked by whoever comes first: a message of its own, or the import's next step.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from email_campaign.audience.import_files import CHUNK_BYTES, ImportChunk, file_from
from email_campaign.audience.import_layout import Layout
from email_campaign.audience.import_records import ROW_CELLS, Line, lines, unreadable
from email_campaign.audience.imports import Import
from email_campaign.errors import Invalid
from email_campaign.settings import Settings
from email_campaign.tasks.tasks import Task

PART_CHUNKS = 8
"""2 MB: about a twentieth of a second."""
UNREADABLE_SHARE = 0.5
"""A file of which more than this share of the lines cannot be read is no list in this encoding: nothing is imported."""


def unchecked_parts(session: Session, import_id: int) -> Sequence[int]:
    """The parts that nobody has checked yet, each by the number of its first chunk."""
    query = select(ImportChunk.number).where(
        ImportChunk.import_id == import_id,
        ImportChunk.number % PART_CHUNKS == 0,
        ImportChunk.line_count.is_(None),
    )
    return session.scalars(query.order_by(ImportChunk.number)).all()


def checked_parts(session: Session, import_id: int) -> tuple[int, int]:
    """How many parts are checked, and how many there are."""
    query = select(func.count(ImportChunk.line_count), func.count()).where(
        ImportChunk.import_id == import_id, ImportChunk.number % PART_CHUNKS == 0
    )
    checked, total = session.execute(query).one()
    return int(checked), int(total)


def check_part(session: Session, import_id: int, number: int, settings: Settings) -> None:
    """Count the lines that begin in a part, and those that nobody can read. Safe to repeat."""
    one = session.get(Import, import_id)
    if one is None or not one.layout:
        return
    layout, max_characters = Layout.from_json(one.layout), settings.import_max_cell_characters * ROW_CELLS
    line_count = text_count = unreadable_count = 0
    blank = f" \t\r\n{layout.delimiter}"
    for line in _lines_of(session, import_id, number, layout.encoding, max_characters):
        line_count += 1
        text_count += bool(line.text.strip(blank))
        unreadable_count += bool(unreadable(line, max_characters))
    found = {"line_count": line_count, "text_count": text_count, "unreadable_count": unreadable_count}
    part = (ImportChunk.import_id == import_id, ImportChunk.number == number)
    session.execute(update(ImportChunk).where(*part).values(found))


def check_next(session: Session, running: Import, task: Task, settings: Settings) -> bool:
    """Check one part that nobody has checked; whether the whole file is checked now, with its exact count of lines.

    Raises Invalid for a file that cannot be read: nothing of it is imported then.
    """
    if running.unreadable_count is not None:
        return True
    left = unchecked_parts(session, running.id)
    if left:
        check_part(session, running.id, left[0], settings)
    if len(left) > 1:
        return False
    query = select(
        func.coalesce(func.sum(ImportChunk.line_count), 0),
        func.coalesce(func.sum(ImportChunk.text_count), 0),
        func.coalesce(func.sum(ImportChunk.unreadable_count), 0),
    ).where(ImportChunk.import_id == running.id)
    line_count, text_count, unreadable_count = (int(found) for found in session.execute(query).one())
    if unreadable_count > text_count * UNREADABLE_SHARE:
        raise Invalid(
            f"Nothing was imported: {unreadable_count:,} of {text_count:,} lines cannot be read. Choose another "
            "encoding, or save the file as CSV (UTF-8)."
        )
    running.line_count = task.total_count = line_count
    running.unreadable_count = unreadable_count
    return True


def _lines_of(session: Session, import_id: int, number: int, encoding: str, max_characters: int) -> Iterator[Line]:
    """The lines that begin in a part. The one that reaches into it from before belongs to the part before."""
    end = (number + PART_CHUNKS) * CHUNK_BYTES
    # From a byte before: so the part's first line counts if, and only if, a line ends right before it.
    begin = max(number * CHUNK_BYTES - 1, 0)
    pieces = file_from(session, import_id, begin)
    coming = lines(pieces, encoding=encoding, offset=begin, line=1, max_characters=max_characters)
    start = begin
    for line in coming:
        if start >= end:
            return
        if start > begin or number == 0:
            yield line
        start = line.end_offset
