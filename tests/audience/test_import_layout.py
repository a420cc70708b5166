"""The first line says what each column is; a file without one, or that is no CSV file, is refused with the remedy."""

import pytest

from email_campaign.audience.import_layout import read_layout
from email_campaign.errors import Invalid


@pytest.mark.parametrize(
    "header",
    [
        "address",
        "Email",
        "E-Mail",
        "e-mail address",
        "EMAIL_ADDRESS",
        '"Email"',
        "mail",
        "id;email;x",
        "a\temail",
        "q|email",
    ],
)
def test_the_address_column_is_found_under_its_usual_names(header: str) -> None:
    layout = read_layout(f"{header}\nx\n".encode())
    assert "mail" in header.lower() or layout.address == 0
    assert (layout.offset, layout.first_line) == (len(header) + 1, 2)


def test_names_and_attributes_take_the_other_columns() -> None:
    layout = read_layout("\n\nLast Name;First name;E-mail;Straße / Nr.;;2nd\n".encode())
    assert (layout.delimiter, layout.names, layout.address, layout.ignored) == (";", [1, 0], 2, [4])
    assert layout.attributes == {"strasse_nr": 3, "_2nd": 5}
    assert layout.first_line == 4
    whole = read_layout(b"name,first name,address\n")
    assert (whole.names, whole.attributes) == ([0], {"first_name": 1})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b" \n\r\n,,\n", "empty"),
        (b"\x89PNG\r\n\x1a\n", "PNG image"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"\xd0\xcf\x11\xe0rest", "XLS"),
        (b"%PDF-1.7", "PDF"),
        (b"a\0d\0d\0", "NUL"),
        (b"first,last\nx,y\n", "No column is called address or email; the first line has “first”, “last”"),
        (b"ann@example.test,Ann\n", "holds an address"),
        (b'"address,name\n', "quote"),
        ("address,城市\n".encode(), "Column 2"),
        (b"address,unsubscribe_url\n", "every template has already"),
        (b"address,City,city\n", "two columns are called city"),
        (b"address," + b",".join(b"c%d" % n for n in range(101)), "at most 100"),
        (b"x" * 70_000, "too long for a header"),
    ],
)
def test_what_is_no_list_of_contacts_is_refused_with_the_remedy(content: bytes, told: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_layout(content)
    assert told in refused.value.message
    assert refused.value.problems[0].field == "file"
