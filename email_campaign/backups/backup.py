"""Making a backup: pg_dump into a file that has its name only when it is whole, on the disk and readable."""

import hashlib
import os
import select
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import psycopg

from email_campaign import __version__
from email_campaign.backups import programs
from email_campaign.backups.manifest import READ_BYTES, Manifest, key_mark
from email_campaign.db import MIGRATION_LOCK
from email_campaign.errors import Conflict
from email_campaign.settings import Settings

LOOK_SECONDS = 2.0
"""Whoever follows the backup hears of it at least so often, also while pg_dump is silent."""


@dataclass(frozen=True, slots=True)
class _Source:
    """The database while no migration can touch it."""

    major: int
    migration: str


def write_backup(
    settings: Settings, file: Path, now: datetime, seen: Callable[[int], None] = lambda _: None
) -> Manifest:
    """Write a backup and its manifest; `seen` hears how many bytes there are, and may raise to end it.

    Raises Conflict when it cannot be made. Whatever happens, there is a whole backup under this name or none.
    """
    half = file.with_name(f".{file.name}.part")
    try:
        if file.exists():
            raise Conflict(f"{file} exists already; a backup never writes over another.")
        with _unmigrated(settings) as source:
            program = programs.find_program("pg_dump", settings, source.major)
            sha256, size = _dump(program, settings, half, seen)
        _check_readable(settings, source, half)
        manifest = Manifest(
            made_at=now.isoformat(),
            release=__version__,
            migration=source.migration,
            postgres=source.major,
            key=key_mark(settings),
            bytes=size,
            sha256=sha256,
        )
        manifest.write(file)
        half.replace(file)
        _sync_folder(file.parent)
    except OSError as error:
        raise Conflict(f"{file} cannot be written: {error.strerror}.") from error
    except psycopg.OperationalError as error:
        raise Conflict(f"The database does not answer: {str(error).splitlines()[0]}") from error
    finally:
        half.unlink(missing_ok=True)
    return manifest


@contextmanager
def _unmigrated(settings: Settings) -> Iterator[_Source]:
    """Keep migrations out while it lasts: one would wait for pg_dump's locks, and all sending would wait behind it."""
    with programs.connect(settings) as connection:
        connection.execute("SELECT pg_advisory_lock_shared(%s)", (MIGRATION_LOCK,))
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except psycopg.errors.UndefinedTable:
            row = None
        if row is None:
            raise Conflict("There is nothing to back up: the database has no tables of this service.")
        yield _Source(programs.server_major(connection), str(row[0]))


def _dump(program: Path, settings: Settings, half: Path, seen: Callable[[int], None]) -> tuple[str, int]:
    """SHA-256 and size of what pg_dump wrote. Raises Conflict with its words when it fails."""
    options = ("--format=custom", "--no-owner", "--no-privileges", "--no-comments", "--no-password")
    half.unlink(missing_ok=True)
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as written, tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            [program, *options],
            env=programs.environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        ) as dumping:
            try:
                sha256, size = _copy(dumping, written, seen)
            except BaseException:
                dumping.kill()
                raise
        if dumping.returncode:
            said.seek(0)
            raise Conflict(f"pg_dump could not finish. {programs.complaint(said.read())}")
        written.flush()
        os.fsync(written.fileno())
    return sha256, size


def _copy(dumping: "subprocess.Popen[bytes]", written: IO[bytes], seen: Callable[[int], None]) -> tuple[str, int]:
    assert dumping.stdout
    digest, size, source = hashlib.sha256(), 0, dumping.stdout.fileno()
    while True:
        if select.select([source], [], [], LOOK_SECONDS)[0]:
            if not (piece := os.read(source, READ_BYTES)):
                return digest.hexdigest(), size
            written.write(piece)
            digest.update(piece)
            size += len(piece)
        seen(size)


def _check_readable(settings: Settings, source: _Source, file: Path) -> None:
    program = programs.find_program("pg_restore", settings, source.major)
    listed = subprocess.run([program, "--list", file], check=False, capture_output=True)
    if listed.returncode:
        raise Conflict(f"pg_restore cannot read what pg_dump wrote. {programs.complaint(listed.stderr)}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
