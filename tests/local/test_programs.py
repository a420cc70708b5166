"""Nothing outlives its owner: the lifeline, also when the owner is killed."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from email_campaign.local.programs import Lifeline, Program, StartFailed, running, wait_until_ready
from tests.local.conftest import Witness

Owner = Callable[[str], "subprocess.Popen[bytes]"]


def test_a_killed_owner_takes_children_and_grandchildren_along(owner: Owner, witness: Witness) -> None:
    process = owner(f"exec 3>'{witness.path}'; sleep 1000 & echo up >&3; sleep 1000")
    witness.wait_for_a_line()
    process.kill()
    assert witness.sees_the_end_within(5)


def test_a_program_that_ignores_the_signal_is_killed(owner: Owner, witness: Witness) -> None:
    process = owner(f"trap '' TERM; exec 3>'{witness.path}'; echo up >&3; while :; do sleep 1000; done")
    witness.wait_for_a_line()
    process.kill()
    assert witness.sees_the_end_within(5)


def test_the_end_of_a_program_is_the_end_of_its_children(
    lifeline: Lifeline, shell: Callable[..., Program], witness: Witness, tmp_path: Path
) -> None:
    program = shell(f"exec 3>'{witness.path}'; echo up >&3; trap '' TERM; sleep 1000 &")
    with running(lifeline, program, tmp_path / "log") as process:
        witness.wait_for_a_line()
        process.wait(5)
    assert witness.sees_the_end_within(5)


def test_a_failed_start_tells_the_last_lines(lifeline: Lifeline, shell: Callable[..., Program], tmp_path: Path) -> None:
    program = shell("echo the reason; exit 7", ready=tmp_path / "never")
    process = lifeline.start(program, tmp_path / "log")
    with pytest.raises(StartFailed, match="part ended with code 7 while it was starting") as failure:
        wait_until_ready(program, process, tmp_path / "log")
    assert failure.value.log_tail == "the reason"
    lifeline.release(process)


def test_a_killed_undertaker_does_not_keep_programs_from_starting(
    shell: Callable[..., Program], tmp_path: Path
) -> None:
    with Lifeline() as lifeline:
        lifeline._undertaker.kill()
        lifeline._undertaker.wait()
        with running(lifeline, shell("touch up; sleep 1000", ready=tmp_path / "up"), tmp_path / "log"):
            pass
