"""The log files of the programs that `run` starts: fresh at each start, bounded, and read from their end."""

import os
import re
import shutil
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
"""A file that is larger makes room: what it held is kept once, as `.1`."""

TAIL_BYTES = 64 * 1024

_ERROR = re.compile(r"\b(ERROR|CRITICAL|FATAL|PANIC)\b|^\w+(\.\w+)*(Error|Exception)\b", re.MULTILINE)


def start_fresh(log_file: Path) -> None:
    """Put the log of the run before aside, as `.1`."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if log_file.exists():
        log_file.replace(_before(log_file))


def bound(log_file: Path) -> None:
    """Cut a log that has grown too large. Its writer goes on: it appends, so it continues at the start."""
    if log_file.exists() and log_file.stat().st_size > MAX_BYTES:
        shutil.copyfile(log_file, _before(log_file))
        os.truncate(log_file, 0)


def log_tail(log_file: Path, lines: int = 12) -> str:
    """The last lines of a log, or nothing when there is none."""
    return "\n".join(_end(log_file).rstrip().splitlines()[-lines:])


def last_error(log_file: Path) -> str:
    """The last line of a log that tells of an error, or nothing."""
    told = [line for line in _end(log_file).splitlines() if _ERROR.search(line)]
    return told[-1].strip() if told else ""


def _end(log_file: Path) -> str:
    if not log_file.is_file():
        return ""
    with log_file.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
        return log.read().decode(errors="replace")


def _before(log_file: Path) -> Path:
    return log_file.with_name(f"{log_file.name}.1")
