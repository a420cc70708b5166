"""`make run DEMO=crash` as people start it: a worker and the broker of the run are killed, and its table is read."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

PATIENCE_SECONDS = 240.0
COMMAND = (sys.executable, "-m", "email_campaign.local.cli")


def told(data_dir: Path) -> dict[str, str]:
    """The environment of every command."""
    return {**os.environ, "DATA_DIR": str(data_dir), "SEND_PROCESSES": "2"}


@contextmanager
def running(data_dir: Path, out: Path, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`email-campaign run`, which is what `make run` calls, ended by Ctrl-C."""
    environment = told(data_dir) | environment
    with out.open("wb") as screen:
        run = subprocess.Popen([*COMMAND, "run"], env=environment, stdout=screen, stderr=subprocess.STDOUT)
    try:
        yield run
    finally:
        run.send_signal(signal.SIGINT)
        run.wait(60)


def wait_for(words: str, out: Path, run: "subprocess.Popen[bytes]") -> str:
    """What the run said when these words appeared."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while words not in (said := out.read_text()):
        assert run.poll() is None, said
        assert "The demo stopped" not in said, said
        assert time.monotonic() < deadline, said
        time.sleep(0.2)
    return said


def test_nobody_is_lost_or_mailed_twice_when_a_worker_and_the_broker_are_killed(services_dir: Path) -> None:
    data_dir, out = services_dir / "crash", services_dir / "crash.out"
    with running(data_dir, out, DEMO="crash") as run:
        said = wait_for("Look at", out, run)
    assert run.returncode == 0
    assert re.search(r"Killed      send[12] \(kill -9\): [1-9]\d* bodies under way", said)
    assert re.search(r"Killed      valkey \(kill -9\): [1-9]\d* bodies under way", said)
    assert re.search(r"send[12] ended with SIGKILL; it starts again", said)
    assert "valkey ended with SIGKILL; it starts again" in said
    table = dict(re.findall(r"^ {14}(accepted|unknown|audience|lost|doubled) +([\d,]+)", said, re.MULTILINE))
    found = {word: int(number.replace(",", "")) for word, number in table.items()}
    assert found["audience"] == 5_000
    assert (found["lost"], found["doubled"]) == (0, 0)
    assert found["accepted"] + found["unknown"] == found["audience"] - 1  # one is suppressed
    assert len(re.findall(r"@\S+ +the inbox (?:has|does not have) it", said)) == min(found["unknown"], 40)
    assert re.search(r"^ {14}back at work after \d+\.\d s$", said, re.MULTILINE)
    with running(data_dir, out) as run:
        wait_for("Ctrl-C stops everything", out, run)
        assert json.loads(subprocess.check_output([*COMMAND, "status", "--json"], env=told(data_dir)))["healthy"]
    assert run.returncode == 0
    assert "people get a letter" not in out.read_text()
