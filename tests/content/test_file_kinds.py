"""Which files may be attached, and under which name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_campaign.content.file_kinds import MAX_NAME_BYTES, problem_of, tidy_name, type_of


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("prices.pdf", "prices.pdf"),
        ("C:\\Users\\Ada\\prices.pdf", "prices.pdf"),
        ("../../etc/passwd", "passwd"),
        ("Screenshot 3.00\u202fPM.png", "Screenshot 3.00 PM.png"),
        ("prices\u202efdp.exe", "pricesfdp.exe"),
        ("a\r\nb\0c.txt", "a bc.txt"),
        ("setup.exe. . ", "setup.exe"),
        ("U\u0308bersicht.pdf", "Übersicht.pdf"),
        ("\u200b", ""),
    ],
)
def test_a_name_is_kept_as_it_can_be_seen(given_: str, kept: str) -> None:
    assert tidy_name(given_) == kept


@given(st.text(st.characters(codec="utf-8")))
def test_a_tidy_name_stays_what_it_is_and_is_in_one_line(name: str) -> None:
    tidy = tidy_name(name)
    assert tidy_name(tidy) == tidy
    assert tidy.isprintable()


@pytest.mark.parametrize("name", ["setup.exe", "photo.jpg.EXE", "run.js", "x.lnk", "archive.iso", "macro.vbs", "a.ps1"])
def test_what_every_relay_refuses_is_refused_with_its_ending(name: str) -> None:
    problem = problem_of(name, 100)
    assert f".{name.rpartition('.')[2].lower()}" in problem
    assert "link to it" in problem


@pytest.mark.parametrize(
    ("name", "size", "told"),
    [("", 1, "no name"), ("a.pdf", 0, "“a.pdf” is empty"), ("é" * MAX_NAME_BYTES + ".pdf", 1, "more than 200 bytes")],
)
def test_what_cannot_be_attached_is_told_with_what_to_do(name: str, size: int, told: str) -> None:
    assert told in problem_of(name, size)


def test_a_usual_file_is_fine_and_of_its_type() -> None:
    for name, kind in [
        ("a.PDF", "application/pdf"),
        ("b.csv", "text/csv"),
        ("c", "application/octet-stream"),
        ("mail.eml", "application/octet-stream"),  # message/rfc822 must not be base64
        ("page.html", "application/octet-stream"),
    ]:
        assert problem_of(name, 1) == ""
        assert type_of(name) == kind
