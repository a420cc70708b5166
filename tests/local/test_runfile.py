"""One run a data folder, and others find it."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from email_campaign.local.runfile import AlreadyRunning, Run, claim, find, is_held, publish
from tests.local.conftest import Witness


def a_run(folder: Path, pid: int) -> Run:
    return Run(
        version="1",
        pid=pid,
        started_at="2026-01-01T00:00:00+00:00",
        data_dir=str(folder),
        addresses={"pages": "http://127.0.0.1:8000", "inbox": "http://127.0.0.1:8025"},
        ports={"web": 8000},
        pids={"web": 2},
    )


def test_a_second_run_is_told_where_the_first_is(tmp_path: Path) -> None:
    with claim(tmp_path, print):
        publish(tmp_path, a_run(tmp_path, os.getpid()))
        with pytest.raises(AlreadyRunning, match=r"pages http://127\.0\.0\.1:8000, inbox http"), claim(tmp_path, print):
            pass
        assert find(tmp_path) == a_run(tmp_path, os.getpid())


def test_a_second_run_beside_one_that_still_starts_is_refused(tmp_path: Path) -> None:
    with (
        claim(tmp_path, print),
        pytest.raises(AlreadyRunning, match="just starting or stopping"),
        claim(tmp_path, print),
    ):
        pass


def test_after_the_end_nothing_is_found(tmp_path: Path) -> None:
    with claim(tmp_path, print):
        publish(tmp_path, a_run(tmp_path, os.getpid()))
    assert find(tmp_path) is None
    assert not is_held(tmp_path)
    with claim(tmp_path, print):
        assert is_held(tmp_path)


def test_what_a_killed_run_published_is_not_believed(tmp_path: Path) -> None:
    publish(tmp_path, a_run(tmp_path, pid=os.getppid()))
    assert find(tmp_path) is None
    with claim(tmp_path, print):
        assert find(tmp_path) is None


def test_the_file_with_the_passwords_is_for_its_owner_only(tmp_path: Path) -> None:
    publish(tmp_path, a_run(tmp_path, os.getpid()))
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600


def test_after_a_kill_the_next_run_waits_until_the_last_part_has_ended(
    owner: Callable[[str], "subprocess.Popen[bytes]"], witness: Witness, tmp_path: Path
) -> None:
    process = owner(f"trap '' TERM; exec 3>'{witness.path}'; echo up >&3; while :; do sleep 1000; done")
    witness.wait_for_a_line()
    process.kill()
    process.wait()
    said: list[str] = []
    with claim(tmp_path, said.append):
        assert witness.sees_the_end_within(0)
    assert said == ["The run before this one was cut off; waiting until its last parts have ended."]
