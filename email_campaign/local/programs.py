"""Programs that run beside us: what each is, how it starts, how one waits for it, and the lifeline that ends it."""

import contextlib
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from email_campaign.local import undertaker
from email_campaign.local.logs import log_tail

READY_SECONDS = 120.0
"""Crash recovery of a large database, and every program at once on a machine that is busy with other things."""

LOOK_SECONDS = 0.02

# The program says itself that it is to be guarded, before it becomes what it is: an owner who is killed just after the
# fork leaves no orphan. It says it on its output, which leads to the undertaker until then. The subshell takes the
# SIGPIPE of an undertaker that was killed.
_GUARDED = '(echo "guard $$ $1 $2"); shift 2; exec "$@" >&2'

Process = subprocess.Popen[bytes]


class StartFailed(Exception):
    """A program did not come up. The message is one sentence; `log_tail` holds its last lines."""

    def __init__(self, message: str, log_tail: str = "") -> None:
        super().__init__(message)
        self.log_tail = log_tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program to run: always in a process group of its own, so that it can be ended with all its children."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    account: str | None = None
    """Run as this user (only possible for root)."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_order: int = 0
    """Index into GRACE_SECONDS: low orders end first, and what others depend on last."""
    is_ready: Callable[[], bool] = lambda: True


class Lifeline:
    """Guards process groups: when this process dies, by whatever means, a second one ends them."""

    def __init__(self, keep_descriptors: Sequence[int] = ()) -> None:
        """`keep_descriptors` stay open until the last guarded group is gone (a file lock, say)."""
        self._undertaker = subprocess.Popen(
            [sys.executable, "-I", undertaker.__file__],
            stdin=subprocess.PIPE,
            bufsize=0,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            pass_fds=tuple(keep_descriptors),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cut the line: what is still guarded ends now. Blocks until it has."""
        if self._undertaker.stdin:
            self._undertaker.stdin.close()
        self._undertaker.wait()

    def start(self, program: Program, log_file: Path) -> Process:
        """Start a program and guard it. Its output is appended to `log_file`."""
        account = pwd.getpwnam(program.account) if program.account else None
        with log_file.open("ab") as log:
            return subprocess.Popen(
                (
                    "/bin/sh",
                    "-c",
                    _GUARDED,
                    "sh",
                    str(program.stop_signal.value),
                    str(program.stop_order),
                    *program.argv,
                ),
                env=program.environment,
                cwd=program.directory,
                stdin=subprocess.DEVNULL,
                stdout=self._undertaker.stdin,
                stderr=log,
                process_group=0,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )

    def release(self, process: Process) -> None:
        """The process has ended: kill what is left of its group, and guard it no more."""
        undertaker.send(process.pid, signal.SIGKILL)
        # Somebody may have killed the undertaker; that must not end the service too.
        with contextlib.suppress(BrokenPipeError):
            if self._undertaker.stdin:
                self._undertaker.stdin.write(f"release {process.pid}\n".encode())


def wait_until_ready(program: Program, process: Process, log_file: Path, seconds: float = READY_SECONDS) -> None:
    """Return once the program serves; raise StartFailed when it ended or took longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not program.is_ready():
        if (code := process.poll()) is not None:
            msg = f"{program.name} ended with {describe_exit(code)} while it was starting."
            raise StartFailed(msg, log_tail(log_file))
        if time.monotonic() > deadline:
            msg = f"{program.name} did not answer within {seconds:.0f} seconds."
            raise StartFailed(msg, log_tail(log_file))
        time.sleep(LOOK_SECONDS)


@contextmanager
def running(lifeline: Lifeline, program: Program, log_file: Path) -> Iterator[Process]:
    """A program that serves inside the `with` and is ended, orderly, after it."""
    process = lifeline.start(program, log_file)
    try:
        wait_until_ready(program, process, log_file)
        yield process
    finally:
        undertaker.send(process.pid, program.stop_signal)
        try:
            process.wait(undertaker.GRACE_SECONDS[program.stop_order])
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        lifeline.release(process)


def describe_exit(code: int) -> str:
    """An exit code in words: `code 1`, or the signal's name."""
    return f"code {code}" if code >= 0 else signal.Signals(-code).name
