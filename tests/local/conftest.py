"""Programs of a few lines for the tests of what starts and ends programs."""

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from email_campaign.local.programs import Program

OWNER = """
import os, pathlib, signal, sys
from email_campaign.local import runfile
from email_campaign.local.programs import Lifeline, Program

folder = pathlib.Path(sys.argv[1])
with runfile.claim(folder, print) as lock, Lifeline([lock]) as lifeline:
    program = Program(
        name="victim", argv=("/bin/sh", "-c", sys.argv[2]), environment=os.environ, directory=folder, stop_order=1
    )
    lifeline.start(program, folder / "victim.log")
    signal.pause()
"""


class Witness:
    """A named pipe that programs hold open for writing: it reads to its end when the last of them is gone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._descriptor = -1

    def wait_for_a_line(self) -> None:
        """Block until some program has opened the pipe and written to it."""
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, os.O_RDONLY)
        assert os.read(self._descriptor, 1024)

    def sees_the_end_within(self, seconds: float) -> bool:
        """Whether nobody holds the pipe any more."""
        while select.select([self._descriptor], [], [], seconds)[0]:
            if not os.read(self._descriptor, 1024):
                return True
        return False

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    made = Witness(tmp_path / "witness")
    yield made
    made.close()


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., Program]:
    """Makes a program out of a line of shell."""

    def make(script: str, *, name: str = "part", stop_order: int = 0, ready: Path | None = None) -> Program:
        return Program(
            name=name,
            argv=("/bin/sh", "-c", script),
            environment=os.environ,
            directory=tmp_path,
            stop_order=stop_order,
            is_ready=lambda: ready is None or ready.exists(),
        )

    return make


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Callable[[str], "subprocess.Popen[bytes]"]]:
    """Starts another process that runs a line of shell under a lifeline, holding the lock of `tmp_path`."""
    owners: list[subprocess.Popen[bytes]] = []

    def start(script: str) -> "subprocess.Popen[bytes]":
        owners.append(subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path), script]))
        return owners[-1]

    yield start
    for process in owners:
        process.kill()
        process.wait()
