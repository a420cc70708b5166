"""Restoring a backup: in one transaction, in which whatever was there goes and nothing is left that sends by itself."""

import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg

from email_campaign.backups import programs
from email_campaign.backups.manifest import READ_BYTES, Manifest
from email_campaign.backups.restore_sql import BEFORE, CONNECTED, TABLES, after
from email_campaign.errors import Conflict
from email_campaign.settings import Settings

FROM_MIGRATIONS = frozenset({"alembic_version", "relays"})
"""Tables that are not empty in a database in which nobody has done anything yet."""


def check_target(settings: Settings, *, replace: bool) -> None:
    """Raises Conflict for a database that must not be restored into: in use, or, without `replace`, not empty."""
    with programs.connect(settings) as connection:
        row = connection.execute(CONNECTED).fetchone()
        if row and row[0]:
            raise Conflict(
                f"The service is connected to this database ({row[0]} times): stop web, Beat and every worker first, "
                "so that nothing goes out from what is being restored."
            )
        tables = [str(name) for (name,) in connection.execute(TABLES)]
        filled = [] if replace else [table for table in tables if _has_rows(connection, table)]
    if filled:
        raise Conflict(
            f"The database is not empty: it has rows in {', '.join(filled[:5])}{' and more' if filled[5:] else ''}. "
            "Name an empty one in DATABASE_URL, or give --yes-replace, and all that is in it is lost."
        )


def restore(settings: Settings, file: Path, manifest: Manifest) -> None:
    """Put the backup in the place of whatever the database holds. Raises Conflict; then nothing was changed.

    Campaigns that were being sent are paused, scheduled ones drafts, in the same transaction: there is no moment at
    which a worker could find them as they were.
    """
    with programs.connect(settings) as connection:
        major = max(programs.server_major(connection), manifest.postgres)
    options = ("--no-owner", "--no-privileges", "--no-comments", "--file=-")
    reader: list[str | Path] = [programs.find_program("pg_restore", settings, major), *options, file]
    quiet = ("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", "--file=-")
    writer: list[str | Path] = [programs.find_program("psql", settings, major), *quiet]
    address = programs.environment(settings)
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as answered:
        with (
            subprocess.Popen(reader, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said) as reading,
            subprocess.Popen(
                writer, env=address, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=answered
            ) as writing,
        ):
            _feed(reading, writing, manifest)
        failed = [(end.returncode, output) for end, output in ((writing, answered), (reading, said)) if end.returncode]
        if failed:
            _, output = max(failed, key=lambda one: one[0])  # one that was killed has nothing to say
            output.seek(0)
            raise Conflict(f"Nothing was restored. {programs.complaint(output.read())}")


def _feed(reading: "subprocess.Popen[bytes]", writing: "subprocess.Popen[bytes]", manifest: Manifest) -> None:
    """One transaction; its COMMIT is written only once pg_restore has said that this was all."""
    assert reading.stdout
    assert writing.stdin
    try:
        writing.stdin.write(b"BEGIN;\n" + BEFORE.encode())
        shutil.copyfileobj(reading.stdout, writing.stdin, READ_BYTES)
        if reading.wait() == 0:
            writing.stdin.write(after(manifest.shown_time).encode() + b"COMMIT;\n")
        else:
            writing.kill()
        writing.stdin.close()
    except BrokenPipeError:
        reading.kill()  # psql met an error and ended; its transaction is gone, and it says why
        with suppress(BrokenPipeError):
            writing.stdin.close()
    except BaseException:
        reading.kill()
        writing.kill()  # before the COMMIT, so nothing was changed
        raise


def _has_rows(connection: "psycopg.Connection[tuple[object, ...]]", table: str) -> bool:
    name = psycopg.sql.Identifier("public", table)
    found = connection.execute(psycopg.sql.SQL("SELECT EXISTS (SELECT FROM {})").format(name)).fetchone()
    return table not in FROM_MIGRATIONS and found == (True,)
