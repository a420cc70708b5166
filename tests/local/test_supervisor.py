"""What dies starts again, more slowly each time; the end comes in order."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from email_campaign.local.programs import Lifeline, Program, StartFailed
from email_campaign.local.supervisor import Supervisor
from tests.local.conftest import Witness

Shell = Callable[..., Program]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(lifeline: Lifeline, tmp_path: Path, said: list[str]) -> Supervisor:
    return Supervisor(lifeline, tmp_path / "logs", said.append)


def test_a_dead_program_starts_again_with_growing_waits_and_is_said(
    supervisor: Supervisor, shell: Shell, said: list[str], tmp_path: Path
) -> None:
    starts = tmp_path / "starts"

    def stop_after_three() -> None:
        if len(starts.read_text().splitlines()) == 3:
            raise KeyboardInterrupt

    supervisor.start([shell(f"echo up >> '{starts}'; exit 3", name="web")])
    with pytest.raises(KeyboardInterrupt):
        supervisor.watch(stop_after_three)
    supervisor.stop()
    log = tmp_path / "logs" / "web.log"
    assert said[:2] == [
        f"web ended with code 3; it starts again in 0.5 s. Its log: {log}",
        f"web ended with code 3; it starts again in 1 s. Its log: {log}",
    ]


def test_what_a_dead_program_leaves_behind_is_ended_before_it_starts_again(
    supervisor: Supervisor, shell: Shell, witness: Witness
) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    supervisor.start([shell(f"exec 3>'{witness.path}'; echo up >&3; sleep 1000 & exit 1")])
    witness.wait_for_a_line()
    with pytest.raises(KeyboardInterrupt):
        supervisor.watch(stop)
    assert witness.sees_the_end_within(5)
    supervisor.stop()


def test_workers_end_before_the_database(supervisor: Supervisor, shell: Shell, tmp_path: Path) -> None:
    ended = tmp_path / "ended"

    def part(name: str, order: int, last_words: str) -> Program:
        ready = tmp_path / f"{name} is ready"
        script = (
            f"trap '{last_words}; echo {name} >> \"{ended}\"; exit' TERM; touch '{ready}'; while :; do sleep 0.05; done"
        )
        return shell(script, name=name, stop_order=order, ready=ready)

    supervisor.start([part("database", 2, ":"), part("inbox", 1, ":"), part("worker", 0, "sleep 0.3")])
    assert set(supervisor.pids) == {"database", "inbox", "worker"}
    supervisor.stop()
    assert ended.read_text().split() == ["worker", "inbox", "database"]
    assert supervisor.pids == {}


def test_a_program_that_is_not_there_is_named(supervisor: Supervisor, shell: Shell, tmp_path: Path) -> None:
    program = replace(shell("", ready=tmp_path / "never"), argv=(str(tmp_path / "missing"),))
    with pytest.raises(StartFailed, match="part ended with code 127") as failure:
        supervisor.start([program])
    assert "missing: not found" in failure.value.log_tail
    supervisor.stop()


def test_logs_of_the_run_before_are_put_aside(lifeline: Lifeline, shell: Shell, tmp_path: Path) -> None:
    for word in ("first", "second"):
        supervisor = Supervisor(lifeline, tmp_path / "logs", print)
        supervisor.start([shell(f"echo {word}; touch {word}", ready=tmp_path / word)])
        supervisor.stop()
    assert (tmp_path / "logs" / "part.log").read_text() == "second\n"
    assert (tmp_path / "logs" / "part.log.1").read_text() == "first\n"
