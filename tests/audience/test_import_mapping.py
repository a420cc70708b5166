"""A mapping is proposed from the first rows, and one that cannot be is refused column by column."""

from collections.abc import Sequence

import pytest

from email_campaign.audience.import_mapping import (
    ENCODINGS,
    FileMapping,
    layout_of,
    names_columns,
    propose_columns,
)
from email_campaign.audience.import_records import Record, records
from email_campaign.errors import Invalid


def rows(text: str, delimiter: str = ",") -> list[Record]:
    content = [text.encode()]
    return list(records(content, delimiter=delimiter, encoding="utf-8", offset=0, line=1, max_cell_characters=10_000))


def mapping(*columns: str, has_header: bool = True) -> FileMapping:
    return FileMapping(",", "utf-8", has_header, columns)


@pytest.mark.parametrize(
    ("text", "proposed"),
    [
        ("email,name,Straße / Nr.\nx,y,z\n", ["address", "name", "strasse_nr"]),
        ("Last name,First name,mail\n", ["last name", "first name", "address"]),
        ("who,where\nada@example.test,Bonn\n", ["address", "where"]),
        ("email,city,City,,城市,unsubscribe_url\n", ["address", "city", "city_2", "", "", ""]),
        ("name,first name,email\n", ["name", "first_name", "address"]),
        ("nothing,here\nx,y\n", ["nothing", "here"]),
        ("ann@example.test,Ann\n", ["address", ""]),
    ],
)
def test_columns_are_proposed_by_their_names_and_by_their_cells(text: str, proposed: Sequence[str]) -> None:
    first = rows(text)
    assert propose_columns(first, has_header=names_columns(first)) == proposed


def test_no_more_attributes_are_proposed_than_a_contact_may_have() -> None:
    first = rows("email," + ",".join(f"c{number}" for number in range(300)) + "\n")
    proposed = propose_columns(first, has_header=True)
    assert len(proposed) == 301
    layout = layout_of(mapping(*proposed), first)
    assert len(layout.attributes) <= 100


def test_a_mapping_becomes_a_layout() -> None:
    first = rows("last,first,mail,town,x\nLovelace,Ada,ada@example.test,London,1\n")
    layout = layout_of(mapping("last name", "first name", "address", "Home Town"), first)
    assert (layout.names, layout.address, layout.attributes, layout.ignored) == ([1, 0], 2, {"home_town": 3}, [4])
    assert (layout.offset, layout.first_line, layout.width) == (23, 2, 5)
    bare = layout_of(mapping("", "", "address", has_header=False), first[1:])
    assert (bare.offset, bare.first_line, bare.width, bare.names) == (0, 1, 5, [])


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ((), "columns"),
        (("name", "city"), "columns"),
        (("address", "address"), "column_2"),
        (("address", "unsubscribe_url"), "column_2"),
        (("address", "城市"), "column_2"),
        (("address", "", "", "x"), "column_4"),
        (("address", "name", "last name"), "column_2"),
    ],
)
def test_a_mapping_that_cannot_be_names_its_column(columns: tuple[str, ...], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        layout_of(mapping(*columns), rows("a,b,c\n1,2,3\n"))
    assert [problem.field for problem in refused.value.problems] == [field]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_on_offer_keeps_lines_and_delimiters(encoding: str) -> None:
    word = {"shift_jis": "表ソ", "gb18030": "中文", "big5": "功許", "euc-kr": "한글"}.get(encoding, "ok")
    content = [f"a|{word}|b\r\nc|{word}|d\n".encode(encoding)]
    read = records(content, delimiter="|", encoding=encoding, offset=0, line=1, max_cell_characters=100)
    assert [len(record.cells) for record in read] == [3, 3]


def test_a_row_that_its_encoding_cannot_be_is_refused_and_the_others_are_read() -> None:
    content = [b"ok,1\n\xff\xff,2\nfine,3\n"]
    read = list(records(content, delimiter=",", encoding="shift_jis", offset=0, line=1, max_cell_characters=100))
    assert [bool(record.problem) for record in read] == [False, True, False]
    assert "encoding that was chosen" in read[1].problem
