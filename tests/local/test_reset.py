"""`make reset` asks first, and deletes what `run` has made and nothing else."""

from pathlib import Path

import pytest

from email_campaign.local.reset import reset
from email_campaign.local.runfile import AlreadyRunning, claim


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    (tmp_path / "secret-key").write_text("kept")
    (tmp_path / "somebody else's").mkdir()
    return tmp_path


def left(data_dir: Path) -> set[str]:
    return {path.name for path in data_dir.iterdir()} - {"run.lock"}


def test_yes_deletes_what_run_has_made(data_dir: Path) -> None:
    assert reset(data_dir, lambda _: "yes\n").startswith("Deleted")
    assert left(data_dir) == {"somebody else's"}


@pytest.mark.parametrize("answer", ["", "y", "no"])
def test_any_other_answer_deletes_nothing(data_dir: Path, answer: str) -> None:
    assert reset(data_dir, lambda _: answer) == "Nothing was deleted."
    assert left(data_dir) == {"postgres", "secret-key", "somebody else's"}


def test_a_running_service_is_not_reset(data_dir: Path) -> None:
    with claim(data_dir, print), pytest.raises(AlreadyRunning):
        reset(data_dir, lambda _: "yes")
    assert "postgres" in left(data_dir)
