"""What each column of a file becomes, and how the file is read: proposed from its first rows, chosen by a person."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from email_campaign.audience.attributes import (
    MAX_ATTRIBUTES,
    BadAttribute,
    attribute_name,
    attribute_name_of_column,
)
from email_campaign.audience.import_layout import (
    ADDRESS_NAMES,
    DELIMITERS,
    Layout,
    find_column,
    is_address,
    name_columns,
)
from email_campaign.audience.import_records import UTF_8, Record
from email_campaign.errors import FieldProblem, Invalid

ADDRESS, NAME, FIRST_NAME, LAST_NAME = "address", "name", "first name", "last name"
LEFT_OUT = ""
WESTERN = "windows-1252"
ENCODINGS: Mapping[str, str] = {
    UTF_8: "UTF-8 (a row that is not: Windows-1252)",
    WESTERN: "Windows-1252 (Western Europe)",
    "iso-8859-15": "ISO 8859-15 (Western Europe)",
    "windows-1250": "Windows-1250 (Central Europe)",
    "iso-8859-2": "ISO 8859-2 (Central Europe)",
    "windows-1251": "Windows-1251 (Cyrillic)",
    "koi8-r": "KOI8-R (Cyrillic)",
    "windows-1253": "Windows-1253 (Greek)",
    "windows-1254": "Windows-1254 (Turkish)",
    "shift_jis": "Shift JIS (Japanese)",
    "gb18030": "GB 18030 (Chinese)",
    "big5": "Big5 (Chinese)",
    "euc-kr": "EUC-KR (Korean)",
}
DELIMITER_NAMES: Mapping[str, str] = {",": "comma ,", ";": "semicolon ;", "\t": "tab", "|": "bar |"}


@dataclass(frozen=True, slots=True)
class FileMapping:
    """How a file is read. A column becomes `address`, `name`, `first name`, `last name`, an attribute of the name that
    stands there, or nothing (an empty text); no attribute can be called as the first four are.
    """

    delimiter: str
    encoding: str
    has_header: bool
    columns: Sequence[str]

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "FileMapping":
        """The mapping that `to_json` wrote."""
        return cls(**stored)

    def to_json(self) -> dict[str, Any]:
        """For the row of the import."""
        return asdict(self)

    def reads_as(self, other: "FileMapping") -> bool:
        """Whether the file falls into the same rows and columns under both."""
        return (self.delimiter, self.encoding, self.has_header) == (other.delimiter, other.encoding, other.has_header)


def check_reading(delimiter: str, encoding: str) -> None:
    """Raises Invalid for a delimiter or an encoding that nobody offers."""
    problems = []
    if delimiter not in DELIMITERS:
        problems.append(FieldProblem("delimiter", "The delimiter is a comma, a semicolon, a tab or a bar."))
    if encoding not in ENCODINGS:
        problems.append(FieldProblem("encoding", f"The encoding is one of {', '.join(ENCODINGS)}."))
    if problems:
        raise Invalid(" ".join(problem.message for problem in problems), problems)


def names_columns(rows: Sequence[Record]) -> bool:
    """Whether the first row names the columns: no address stands in it."""
    return bool(rows) and not any(is_address(cell) for cell in rows[0].cells)


def likeness(rows: Sequence[Record]) -> tuple[bool, bool, int]:
    """How well a delimiter fits, for `max`: a column called address, rows of one width, many columns."""
    widths = {len(row.cells) for row in rows}
    width = len(rows[0].cells) if rows else 0
    return find_column(rows[0].cells if rows else [], ADDRESS_NAMES) is not None, len(widths) == 1 and width > 1, width


def width_of(rows: Sequence[Record], *, has_header: bool) -> int:
    """How many columns the file has: those of its header, or else of the widest of the first rows."""
    return len(rows[0].cells) if has_header and rows else max((len(row.cells) for row in rows), default=0)


def propose_columns(rows: Sequence[Record], *, has_header: bool) -> list[str]:
    """What each column may become, by its name in the header or else by the addresses in it."""
    columns = [LEFT_OUT] * width_of(rows, has_header=has_header)
    header = [cell.strip() for cell in rows[0].cells] if has_header and rows else []
    address = find_column(header, ADDRESS_NAMES)
    if address is None:
        address = _column_of_addresses(rows[1:] if has_header else rows, len(columns))
    if address is not None:
        columns[address] = ADDRESS
    names = [index for index in name_columns(header) if index != address]
    for index, role in zip(names, [FIRST_NAME, LAST_NAME] if len(names) == 2 else [NAME] * len(names), strict=True):
        columns[index] = role
    taken = {ADDRESS, NAME}
    for index, cell in enumerate(header):
        if columns[index] == LEFT_OUT and len(taken) < MAX_ATTRIBUTES:
            columns[index] = _free_name(cell, taken)
            taken.add(columns[index])
    return columns


def layout_of(mapping: FileMapping, rows: Sequence[Record]) -> Layout:
    """The layout of a file whose first rows are these. Raises Invalid, one problem per column that is wrong.

    Columns that `mapping` does not speak of are left out.
    """
    check_reading(mapping.delimiter, mapping.encoding)
    width = width_of(rows, has_header=mapping.has_header)
    places: dict[str, int] = {}
    problems: list[FieldProblem] = []
    for index, text in enumerate(mapping.columns):
        try:
            if role := _role(text, index, width):
                if role in places:
                    raise BadAttribute(f"Column {places[role] + 1} becomes {role} already.")
                places[role] = index
        except BadAttribute as error:
            problems.append(FieldProblem(f"column_{index + 1}", str(error)))
    problems += _problems_of_all(places)
    if problems:
        raise Invalid(f"The columns cannot be taken like this. {problems[0].message}", problems)
    names = [places.pop(role) for role in (NAME, FIRST_NAME, LAST_NAME) if role in places]
    address = places.pop(ADDRESS)
    ignored = sorted(set(range(width)) - {address, *names, *places.values()})
    offset, line = (rows[0].end_offset, rows[0].end_line) if mapping.has_header and rows else (0, 1)
    return Layout(mapping.delimiter, width, address, names, places, ignored, offset, line, mapping.encoding)


def _role(text: str, index: int, width: int) -> str:
    role = text.strip()
    if role and index >= width:
        raise BadAttribute(f"The file has {width} columns under these settings; there is no column {index + 1}.")
    return role if role in (LEFT_OUT, ADDRESS, NAME, FIRST_NAME, LAST_NAME) else attribute_name(role)


def _problems_of_all(places: Mapping[str, int]) -> list[FieldProblem]:
    if ADDRESS not in places:
        return [FieldProblem("columns", "Say which column holds the addresses.")]
    if NAME in places and (FIRST_NAME in places or LAST_NAME in places):
        return [FieldProblem(f"column_{places[NAME] + 1}", "Choose the whole name, or first and last name; not both.")]
    attributes = len(set(places) - {ADDRESS, NAME, FIRST_NAME, LAST_NAME})
    if attributes > MAX_ATTRIBUTES:
        return [FieldProblem("columns", f"A contact has at most {MAX_ATTRIBUTES} attributes; these are {attributes}.")]
    return []


def _column_of_addresses(rows: Sequence[Record], width: int) -> int | None:
    found = (index for index in range(width) if any(is_address(cell) for row in rows for cell in row.cells[index:][:1]))
    return next(found, None)


def _free_name(cell: str, taken: set[str]) -> str:
    """The attribute's name for a column, with a number where another has it; left out where it cannot be one."""
    try:
        name = attribute_name_of_column(cell)
        if name in taken:
            name = next(free for n in range(2, len(taken) + 3) if (free := f"{name}_{n}") not in taken)
            return attribute_name(name)
    except BadAttribute:
        return LEFT_OUT
    return name
