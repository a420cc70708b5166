"""Log files: bounded, and errors easy to find."""

from pathlib import Path

import pytest

from email_campaign.local import logs


def test_a_log_that_grew_too_large_makes_room_and_its_writer_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 10)
    log = tmp_path / "web.log"
    with log.open("a", buffering=1) as writer:
        writer.write("more than ten bytes\n")
        logs.bound(log)
        writer.write("after\n")
    assert log.read_text() == "after\n"
    assert (tmp_path / "web.log.1").read_text() == "more than ten bytes\n"


def test_the_last_error_is_found(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text("a INFO fine\nb ERROR first\nTraceback\n  line\nmodule.SomeError: second\nc INFO no errors here\n")
    assert logs.last_error(log) == "module.SomeError: second"
    assert logs.last_error(tmp_path / "none.log") == ""
    assert logs.log_tail(log, 1) == "c INFO no errors here"
