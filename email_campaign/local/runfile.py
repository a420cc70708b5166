"""One run a data folder: the lock that holds it, and the file by which others find what runs."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from email_campaign.local.places import write_private

CLEARING_SECONDS = 12.0
"""The undertaker of a killed run keeps the lock until everything has ended, ten seconds at most."""

LOCK_NAME = "run.lock"
RUN_NAME = "run.json"


class AlreadyRunning(Exception):
    """Somebody runs on this data folder. The message says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What runs, and where. Read by `status` and by scripts."""

    version: str
    pid: int
    started_at: str
    data_dir: str
    addresses: dict[str, str]
    """With passwords: the file is readable for its owner only."""
    ports: dict[str, int]
    pids: dict[str, int]


@contextmanager
def claim(folder: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Hold the folder for this run; yields the lock's descriptor. Raises AlreadyRunning."""
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(folder, descriptor, say)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
        (folder / RUN_NAME).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def publish(folder: Path, run: Run) -> None:
    """Tell others what runs now. Safe to repeat."""
    write_private(folder / RUN_NAME, json.dumps(asdict(run), indent=2) + "\n")


def find(folder: Path) -> Run | None:
    """What runs on this folder, once it has come up; nothing when nobody does."""
    owner = _owner(folder)
    try:
        run = Run(**json.loads((folder / RUN_NAME).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    # Beside a run that still starts may lie the file of one that was killed.
    return run if run.pid == owner else None


def is_held(folder: Path) -> bool:
    """Whether a run holds this folder, be it starting, running or ending."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _take(folder: Path, descriptor: int, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + CLEARING_SECONDS
    said = False
    while not _try_lock(descriptor, fcntl.LOCK_EX):
        if owner := _owner(folder):
            raise AlreadyRunning(_where(folder, owner))
        if time.monotonic() > deadline:
            msg = f"{folder} is held by another process, although no run of ours lives. Is the folder shared?"
            raise AlreadyRunning(msg)
        if not said:
            say("The run before this one was cut off; waiting until its last parts have ended.")
            said = True
        time.sleep(0.1)


def _where(folder: Path, owner: int) -> str:
    run = find(folder)
    if not run:
        return f"Another run on {folder} is just starting or stopping (process {owner})."
    return f"It runs already (process {owner}): pages {run.addresses['pages']}, inbox {run.addresses['inbox']}."


def _owner(folder: Path) -> int:
    """Process id of the living run that holds the folder, or 0."""
    try:
        owner = int((folder / LOCK_NAME).read_text() or 0)
        if owner and is_held(folder):
            os.kill(owner, 0)
            return owner
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return 0
    except PermissionError:
        return owner
    return 0


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
