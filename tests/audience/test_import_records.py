"""A CSV file is read row by row, from any row on, in bounded memory, and a broken row costs itself only."""

import csv
import io
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_campaign.audience.import_records import Record, as_utf8, records

MAX = 100


def read(content: bytes, *, piece: int = 7, offset: int = 0, line: int = 1, delimiter: str = ",") -> list[Record]:
    rest = content[offset:]
    pieces = (rest[at : at + piece] for at in range(0, len(rest), piece))
    return list(
        records(pieces, delimiter=delimiter, encoding="utf-8", offset=offset, line=line, max_cell_characters=MAX)
    )


def good(content: bytes) -> list[tuple[int, list[str]]]:
    return [(one.line, one.cells) for one in read(content) if not one.problem]


def bad(content: bytes) -> list[tuple[int, str]]:
    return [(one.line, one.problem) for one in read(content) if one.problem]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_rows_carry_the_line_on_which_they_begin(end: bytes) -> None:
    content = end.join([b"a,b", b"", b'"x', b'y",z', b" , ", b"last,one"])
    inner = end.decode()
    assert good(content) == [(1, ["a", "b"]), (3, [f"x{inner}y", "z"]), (6, ["last", "one"])]


def test_an_unclosed_quote_costs_its_own_row_only() -> None:
    content = b'a,1\nb,"2\nc,3\nd,"4"\ne,5\n'
    assert [line for line, _ in good(content)] == [1, 3, 4, 5]
    assert bad(content)[0][0] == 2
    content = b'a,1\nb,"2\n' + b"".join(b"c%d,3\n" % n for n in range(1000))
    assert len(good(content)) == 1001
    assert [(line, "never closed" in why) for line, why in bad(content)] == [(2, True)]


def test_text_after_a_closing_quote_is_refused_with_the_remedy() -> None:
    assert bad(b'a,"Ann "The Hammer" Smith"\nb,1\n') == [
        (1, 'A quoted cell goes on after its closing quote; write a quote inside a cell twice ("").')
    ]


def test_a_quote_in_the_middle_of_a_cell_and_after_a_blank_are_understood() -> None:
    assert good(b'a,5" pipe\nb, "x, y"\n') == [(1, ["a", '5" pipe']), (2, ["b", "x, y"])]


def test_a_line_that_is_too_long_is_one_refused_row_in_bounded_memory() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a,1\nb,"
        for _ in range(64):
            yield b"x" * 65_536
        yield b"\nc,3\n"

    tracemalloc.start()
    found = list(records(pieces(), delimiter=",", encoding="utf-8", offset=0, line=1, max_cell_characters=MAX))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(one.line, bool(one.problem)) for one in found] == [(1, False), (2, True), (3, False)]
    assert found[-1].end_offset == 4 + 2 + 64 * 65_536 + 5
    assert len(found[1].text) <= 2_000
    assert peak < 1_000_000


def test_bytes_that_are_no_text_cost_their_row() -> None:
    found = read(b"a\0b,1\nb\x81\xff,2\nJos\xe9,3\nok,4\n")
    assert [(one.line, bool(one.problem), one.recoded) for one in found] == [
        (1, True, False),
        (2, True, True),
        (3, False, True),
        (4, False, False),
    ]
    assert found[2].cells == ["José", "3"]


def test_a_file_of_blank_lines_can_be_left_halfway() -> None:
    found = read(b"\n" * 2_500 + b"a,1\n", piece=1_000)
    assert [(one.line, one.cells) for one in found] == [(1_000, []), (2_000, []), (2_501, ["a", "1"])]


CELL = st.text(st.sampled_from('ab ,;"\n\ré'), max_size=6)


@given(rows=st.lists(st.lists(CELL, min_size=2, max_size=3), max_size=8), piece=st.integers(1, 9))
def test_what_python_writes_is_read_back_and_reading_can_go_on_at_every_row(rows: list[list[str]], piece: int) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    content = file.getvalue().encode()
    found = read(content, piece=piece)
    assert [one.cells for one in found] == [list(row) for row in rows]
    for index, one in enumerate(found):
        assert read(content, piece=piece, offset=one.end_offset, line=one.end_line) == found[index + 1 :]


@given(content=st.binary(max_size=200), piece=st.integers(1, 9))
def test_whatever_comes_is_read_to_the_end_and_in_order(content: bytes, piece: int) -> None:
    found = read(content, piece=piece)
    offsets = [one.end_offset for one in found]
    assert offsets == sorted(set(offsets))
    assert all(offset <= len(content) for offset in offsets)
    assert found == read(content, piece=1000)
    for index, one in enumerate(found):
        assert read(content, offset=one.end_offset, line=one.end_line) == found[index + 1 :]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_byte_order_marks_are_understood(encoding: str, piece: int) -> None:
    content = "address,name\na@b.example,Дмитрий 😀\n".encode(encoding)
    pieces = (content[at : at + piece] for at in range(0, len(content), piece))
    assert b"".join(as_utf8(pieces)).decode() == "address,name\na@b.example,Дмитрий 😀\n"
