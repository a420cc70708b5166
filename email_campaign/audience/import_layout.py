"""The layout of a CSV file, read from its beginning: delimiter and what each column is; or why it is no such file."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from email_campaign.address import BadAddress, normalise
from email_campaign.audience.attributes import MAX_ATTRIBUTES, BadAttribute, attribute_name_of_column
from email_campaign.audience.import_records import UTF_8
from email_campaign.errors import Invalid

DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 64 * 1024
"""The header must end within this much of the file."""

ADDRESS_NAMES = frozenset({"address", "email", "mail", "emailaddress", "mailaddress", "emailaddr", "recipient"})
_NAME_NAMES = frozenset({"name", "fullname", "displayname", "contactname"})
_FIRST_NAMES = frozenset({"firstname", "givenname", "forename"})
_LAST_NAMES = frozenset({"lastname", "surname", "familyname"})
_SIGNATURES: Mapping[bytes, str] = {
    b"PK\x03\x04": "a ZIP archive or a spreadsheet (XLSX, ODS)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (XLS)",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive",
    b"{\\rtf": "an RTF document",
}
_HOW = "Save it as “CSV (UTF-8)” and import that file."


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands where: column indexes from 0. `first_line` is the first line after the header, `offset` its byte."""

    delimiter: str
    width: int
    address: int
    names: Sequence[int]
    attributes: Mapping[str, int]
    ignored: Sequence[int]
    offset: int
    first_line: int
    encoding: str = UTF_8

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Layout":
        """The layout that `to_json` wrote."""
        return cls(**stored)

    def to_json(self) -> dict[str, Any]:
        """For the row of the import. The usual encoding is left out, as the first release does not know the word."""
        stored = asdict(self)
        if self.encoding == UTF_8:
            del stored["encoding"]
        return stored


def refuse_binary(head: bytes) -> None:
    """Raises Invalid for the field `file` where the beginning of a file is that of no text."""
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            raise Invalid.field("file", f"This is {kind}, not a CSV file. {_HOW}")
    if b"\0" in head:
        raise Invalid.field("file", f"This is not a text file: it has NUL bytes. {_HOW}")


def read_layout(head: bytes) -> Layout:
    """The layout of a file that begins with `head` (UTF-8, without BOM). Raises Invalid for the field `file`."""
    refuse_binary(head)
    offset, line = 0, 1
    for raw in head.splitlines(keepends=True):
        offset += len(raw)
        line += 1
        if raw.strip(b" \t\r\n,;|"):
            return _layout(_decoded(raw), offset, line)
    raise Invalid.field("file", f"The file is empty. {_EXAMPLE}")


_EXAMPLE = "Its first line names the columns, as in: address,name,city"


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def _layout(header: str, offset: int, first_line: int) -> Layout:
    if len(header) >= HEAD_BYTES // 2:
        raise Invalid.field("file", f"The first line is too long for a header. {_EXAMPLE}")
    delimiter, cells = max(
        ((delimiter, _cells(header, delimiter)) for delimiter in DELIMITERS),
        key=lambda option: (find_column(option[1], ADDRESS_NAMES) is not None, len(option[1])),
    )
    address = find_column(cells, ADDRESS_NAMES)
    if address is None:
        raise Invalid.field("file", _no_address_column(cells))
    names = name_columns(cells)
    attributes: dict[str, int] = {}
    ignored: list[int] = []
    for index, cell in enumerate(cells):
        if index == address or index in names:
            continue
        if not cell.strip():
            ignored.append(index)
            continue
        name = _attribute(cell, index)
        if name in attributes or (name == "name" and names):
            raise Invalid.field("file", f"Line {first_line - 1}: two columns are called {name}; rename one of them.")
        attributes[name] = index
    if len(attributes) > MAX_ATTRIBUTES:
        message = f"The file has {len(attributes)} columns beside address and name; at most {MAX_ATTRIBUTES} are kept."
        raise Invalid.field("file", message)
    return Layout(delimiter, len(cells), address, names, attributes, ignored, offset, first_line)


def _cells(header: str, delimiter: str) -> list[str]:
    try:
        rows = list(csv.reader([header], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error:
        return []
    return rows[0] if rows else []


def find_column(cells: Sequence[str], names: frozenset[str]) -> int | None:
    """The first column with one of these names, whatever its capitals and signs."""
    return next((index for index, cell in enumerate(cells) if re.sub(r"[\W_]+", "", cell.casefold()) in names), None)


def name_columns(cells: Sequence[str]) -> list[int]:
    """One column with the name, or else the first and the last name; these two stay attributes beside a whole name."""
    whole = find_column(cells, _NAME_NAMES)
    if whole is not None:
        return [whole]
    return [index for index in (find_column(cells, _FIRST_NAMES), find_column(cells, _LAST_NAMES)) if index is not None]


def _attribute(cell: str, index: int) -> str:
    try:
        return attribute_name_of_column(cell)
    except BadAttribute as error:
        raise Invalid.field("file", f"Column {index + 1} cannot become an attribute: {error}") from error


def _no_address_column(cells: Sequence[str]) -> str:
    if not cells:
        return f"The first line has a quote that is opened and not closed. {_EXAMPLE}"
    if any(is_address(cell) for cell in cells):
        return f"The first line holds an address, not the names of the columns. Put a line above it. {_EXAMPLE}"
    found = ", ".join(f"“{cell.strip()[:40]}”" for cell in cells[:8]) + (", …" if len(cells) > 8 else "")
    return f"No column is called address or email; the first line has {found}. {_EXAMPLE}"


def is_address(cell: str) -> bool:
    """Whether a cell holds an address, and so is no name of a column."""
    try:
        normalise(cell)
    except BadAddress:
        return False
    return True
