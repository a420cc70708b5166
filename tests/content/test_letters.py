"""The service's own letters: one frame around each, and nothing in braces is rendered before its time."""

import pytest
from sqlalchemy.orm import Session

from email_campaign.content.letters import MAIL_DIR, freeze_letter

LETTERS = sorted(file.stem for file in MAIL_DIR.glob("*.txt") if file.stem not in {"frame", "demo"})


@pytest.mark.parametrize("letter", LETTERS)
def test_a_letter_is_frozen_whole_with_its_frame_and_without_a_recipient(session: Session, letter: str) -> None:
    version = freeze_letter(session, letter)
    assert version.html.startswith("<!doctype html>")
    assert version.html.count("</body>") == 1
    assert version.html.rstrip().endswith("</html>")
    assert version.text.startswith("Hello {{ name }},\n\n")
    assert not version.text.startswith("\n")
    for part in (version.subject, version.html, version.text):
        assert not any(tag in part for tag in ("[%", "%]", "[[", "]]", "[#", "#]"))
    for part in (version.html, version.text):
        assert "{{ name }}" in part
        assert "{{ service_url }}" in part
    assert "\n" not in version.subject
    assert f"<title>{version.subject}</title>" in version.html
    assert {"name", "service_url"} <= set(version.variables)


def test_every_letter_has_both_parts() -> None:
    assert set(LETTERS) == {"password_changed", "password_reset", "report", "task_failed", "task_works_again"}
    assert all((MAIL_DIR / f"{letter}.html").exists() for letter in LETTERS)
