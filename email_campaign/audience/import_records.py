"""The rows of a CSV file (RFC 4180), each with its place in the file, so that reading can stop and go on anywhere.

Memory stays bounded whatever the file holds, and a quote that is never closed costs its own row only.
"""

import codecs
import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

ROW_CELLS = 10
"""A row has at most this many times the characters of the longest cell allowed."""
BLANK_LINES = 1_000
KEPT_CHARACTERS = 2_000
"""So much of a refused row is kept to be shown."""
UTF_8 = "utf-8"
"""The usual encoding, under which a row that is not UTF-8 is taken for Windows-1252. In every other, a line that cannot
be read is refused. All are such that a line ends with the bytes of ASCII."""


class Record(NamedTuple):
    """A row that begins at `line` (from 1); `end_offset` and `end_line` are where the next one begins.

    `problem` says why it cannot be read; `recoded` that it was not UTF-8 and was taken for Windows-1252.
    """

    line: int
    end_offset: int
    end_line: int
    text: str
    cells: list[str]
    problem: str
    recoded: bool


class Line(NamedTuple):
    """A physical line; `undecodable` where its bytes say nothing in the file's encoding."""

    number: int
    end_offset: int
    text: str
    length: int
    recoded: bool
    undecodable: bool


def as_utf8(stream: Iterable[bytes]) -> Iterator[bytes]:
    """The stream without a UTF-8 byte order mark; UTF-16 with its mark becomes UTF-8. The rest passes as it is."""
    pieces = iter(stream)
    head = b""
    while len(head) < len(codecs.BOM_UTF8) and (piece := next(pieces, b"")):
        head += piece
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
        yield decoder.decode(head).encode(errors="replace")
        for piece in pieces:
            yield decoder.decode(piece).encode(errors="replace")
        yield decoder.decode(b"", final=True).encode()
        return
    yield head.removeprefix(codecs.BOM_UTF8)
    yield from pieces


def records(
    pieces: Iterable[bytes], *, delimiter: str, encoding: str, offset: int, line: int, max_cell_characters: int
) -> Iterator[Record]:
    """The records of `pieces`, the file's content from the byte `offset` on, which begins `line`.

    Blank lines go, but for every thousandth: it comes without cells, so that reading can stop in a file of them.
    """
    max_characters = max_cell_characters * ROW_CELLS
    coming = lines(pieces, encoding=encoding, offset=offset, line=line, max_characters=max_characters)
    again: deque[Line] = deque()
    blanks = 0

    def next_line() -> Line | None:
        return again.popleft() if again else next(coming, None)

    while (first := next_line()) is not None:
        if not first.text.strip(f" \t\r\n{delimiter}"):
            blanks += 1
            if blanks % BLANK_LINES == 0:
                yield _record([first], [])
            continue
        problem = unreadable(first, max_characters)
        if problem:
            yield _refused(first, problem)
        elif '"' not in first.text:
            yield _record([first], first.text.rstrip("\r\n").split(delimiter))
        else:
            taken = [first]
            try:
                yield _record(taken, _quoted_cells(taken, next_line, delimiter, max_characters))
            except csv.Error as error:
                again.extendleft(reversed(taken[1:]))
                yield _refused(first, _quote_problem(str(error)))


def lines(pieces: Iterable[bytes], *, encoding: str, offset: int, line: int, max_characters: int) -> Iterator[Line]:
    """Physical lines, ended by LF, CRLF or CR. Of a line that is too long only the beginning is kept."""
    limit = max_characters * 4  # bytes of UTF-8
    carry, dropped = b"", 0
    for piece in pieces:
        parts = (carry + piece).splitlines(keepends=True)
        # A CR at the very end may be half of a CRLF: it waits for the next piece.
        carry = parts.pop() if parts and not parts[-1].endswith(b"\n") else b""
        for part in parts:
            offset += len(part) + dropped
            yield _line(line, offset, part, dropped, encoding)
            line += 1
            dropped = 0
        if len(carry) > limit:
            dropped += len(carry) - limit - 1
            carry = carry[:limit] + carry[-1:]
    if carry:
        yield _line(line, offset + len(carry) + dropped, carry, dropped, encoding)


def unreadable(line: Line, max_characters: int) -> str:
    """Why nobody can read the line; empty where it can be read."""
    if line.length > max_characters:
        return f"The row has {line.length:,} characters; at most {max_characters:,} are read."
    if "\0" in line.text:
        return "The row has a NUL byte, as files that are not text have."
    if line.undecodable and line.recoded:
        return "The row is neither UTF-8 nor Windows-1252; save the file as CSV (UTF-8)."
    if line.undecodable:
        return "The row cannot be read in the encoding that was chosen for the file."
    return ""


def _line(number: int, end_offset: int, raw: bytes, dropped: int, encoding: str) -> Line:
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        recoded = encoding == UTF_8
        text = raw.decode("cp1252" if recoded else encoding, errors="replace")
        return Line(number, end_offset, text, len(text) + dropped, recoded, "\ufffd" in text)
    return Line(number, end_offset, text, len(text) + dropped, recoded=False, undecodable=False)


def _quoted_cells(
    taken: list[Line], next_line: Callable[[], Line | None], delimiter: str, max_characters: int
) -> list[str]:
    """The cells of a row with quotes, which may take further lines; they are added to `taken`. Raises csv.Error."""

    def feed() -> Iterator[str]:
        yield taken[0].text
        size = taken[0].length
        while size <= max_characters and (line := next_line()) is not None:
            taken.append(line)
            if problem := unreadable(line, max_characters):
                raise csv.Error(problem)
            size += line.length
            yield line.text

    return next(csv.reader(feed(), delimiter=delimiter, strict=True, skipinitialspace=True))


def _quote_problem(error: str) -> str:
    if "expected after" in error:
        return 'A quoted cell goes on after its closing quote; write a quote inside a cell twice ("").'
    if "unexpected end" in error:
        return 'A quote (") is opened in this row and never closed, or the cell is too long.'
    if "field larger" in error:
        return "A cell of this row is too long."
    return error


def _record(taken: list[Line], cells: list[str]) -> Record:
    text = "".join(line.text for line in taken)[:KEPT_CHARACTERS].rstrip("\r\n")
    recoded = any(line.recoded for line in taken)
    return Record(taken[0].number, taken[-1].end_offset, taken[-1].number + 1, text, cells, "", recoded)


def _refused(line: Line, problem: str) -> Record:
    text = line.text[:KEPT_CHARACTERS].rstrip("\r\n").replace("\0", "\ufffd")
    return Record(line.number, line.end_offset, line.number + 1, text, [], problem, line.recoded)
