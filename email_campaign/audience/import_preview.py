"""The first rows of an uploaded file, as they are under a mapping, before anything is imported."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy.orm import Session

from email_campaign.audience.import_files import file_from
from email_campaign.audience.import_layout import DELIMITERS
from email_campaign.audience.import_mapping import (
    LEFT_OUT,
    WESTERN,
    FileMapping,
    check_reading,
    layout_of,
    likeness,
    names_columns,
    propose_columns,
    width_of,
)
from email_campaign.audience.import_records import UTF_8, Record, records
from email_campaign.audience.import_rows import Person, RefusedRow, judge
from email_campaign.errors import Invalid
from email_campaign.settings import Settings

SAMPLE_ROWS = 20
"""So many rows are read to find out how the file is made."""
SHOWN_ROWS = 5
SHOWN_CHARACTERS = 80
"""Of each cell: a preview of large ones stays a preview."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file: its number from 1, its name in the header, what it becomes, and its first cells."""

    number: int
    header: str
    becomes: str
    cells: Sequence[str]


@dataclass(frozen=True, slots=True)
class FirstRow:
    """What one of the first rows becomes: a person, or the reason for which it will be refused."""

    line: int
    person: Person | None
    problem: str


def sample(session: Session, import_id: int, mapping: FileMapping, settings: Settings) -> list[Record]:
    """The first rows of the file (the header among them), as they are with this delimiter and encoding."""
    check_reading(mapping.delimiter, mapping.encoding)
    rows = records(
        file_from(session, import_id, 0),
        delimiter=mapping.delimiter,
        encoding=mapping.encoding,
        offset=0,
        line=1,
        max_cell_characters=settings.import_max_cell_characters,
    )
    return list(islice((row for row in rows if row.cells or row.problem), SAMPLE_ROWS))


def detect(session: Session, import_id: int, settings: Settings) -> FileMapping:
    """How the file is made, by its first rows. Raises Invalid for the field `file` where it has none."""
    found: list[tuple[FileMapping, list[Record]]] = []
    for delimiter in DELIMITERS:
        mapping = FileMapping(delimiter, UTF_8, has_header=True, columns=())
        found.append((mapping, sample(session, import_id, mapping, settings)))
    best, rows = max(found, key=lambda one: likeness(one[1]))
    if not rows:
        raise Invalid.field("file", "The file is empty: it has no row with anything in it.")
    encoding = WESTERN if any(row.recoded for row in rows) else UTF_8
    return propose(session, import_id, FileMapping(best.delimiter, encoding, names_columns(rows), ()), settings)


def propose(session: Session, import_id: int, mapping: FileMapping, settings: Settings) -> FileMapping:
    """The mapping with what each column may become, read with its delimiter, encoding and header. Raises Invalid."""
    rows = sample(session, import_id, mapping, settings)
    columns = propose_columns(rows, has_header=mapping.has_header)
    return FileMapping(mapping.delimiter, mapping.encoding, mapping.has_header, columns)


def columns_of(rows: Sequence[Record], mapping: FileMapping) -> list[Column]:
    """Every column with its first cells, cut to a length that can be shown."""
    header = rows[0].cells if mapping.has_header and rows else []
    body = rows[1:] if mapping.has_header else rows
    becomes = [*mapping.columns, *[LEFT_OUT] * width_of(rows, has_header=mapping.has_header)]
    return [
        Column(
            index + 1,
            _cut(header[index]) if index < len(header) else "",
            becomes[index],
            [_cut(row.cells[index]) if index < len(row.cells) else "" for row in body[:SHOWN_ROWS]],
        )
        for index in range(width_of(rows, has_header=mapping.has_header))
    ]


def first_people(rows: Sequence[Record], mapping: FileMapping, settings: Settings) -> list[FirstRow]:
    """What the first rows become under a mapping; none while the mapping is not good."""
    try:
        layout = layout_of(mapping, rows)
    except Invalid:
        return []
    shown = []
    for row in (rows[1:] if mapping.has_header else rows)[:SHOWN_ROWS]:
        try:
            shown.append(FirstRow(row.line, judge(row, layout, settings.import_max_cell_characters), ""))
        except RefusedRow as refused:
            shown.append(FirstRow(row.line, None, str(refused)))
    return shown


def _cut(cell: str) -> str:
    cell = cell.strip()
    return cell if len(cell) <= SHOWN_CHARACTERS else f"{cell[:SHOWN_CHARACTERS]}…"
