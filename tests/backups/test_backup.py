"""Making a backup: whole or not at all, by programs that are new enough, without a password in sight."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from email_campaign.backups import programs
from email_campaign.backups.backup import write_backup
from email_campaign.backups.manifest import Manifest
from email_campaign.clock import utc_now
from email_campaign.errors import Conflict, DomainError
from email_campaign.settings import Settings
from tests.backups.conftest import Kept
from tests.commands import Console


def program(folder: Path, name: str, script: str) -> None:
    """A program of a few lines of shell."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_a_backup_has_its_sum_release_schema_and_time_beside_it(kept: Kept) -> None:
    manifest = Manifest.beside(kept.file)
    manifest.check(kept.file)
    assert (manifest.release, manifest.bytes) == ("0.1.0", kept.file.stat().st_size)
    assert manifest.migration
    assert "test-secret" not in json.dumps(kept.file.with_name("kept.dump.json").read_text())
    assert kept.file.stat().st_mode & 0o077 == 0
    assert {file.name for file in kept.file.parent.iterdir()} == {"kept.dump", "kept.dump.json"}


def test_a_changed_byte_is_seen(kept: Kept) -> None:
    content = bytearray(kept.file.read_bytes())
    content[len(content) // 2] ^= 1
    kept.file.write_bytes(content)
    with pytest.raises(Conflict, match="is damaged"):
        Manifest.beside(kept.file).check(kept.file)


def test_a_backup_that_is_cut_off_leaves_nothing(engine: Engine, settings: Settings, tmp_path: Path) -> None:
    class CutOff(Exception):
        """What ends it."""

    def cut(size: int) -> None:
        raise CutOff

    with pytest.raises(CutOff):
        write_backup(settings, tmp_path / "cut.dump", utc_now(), cut)
    assert not list(tmp_path.iterdir())


def test_a_backup_never_writes_over_another(kept: Kept, settings: Settings) -> None:
    before = kept.file.read_bytes()
    with pytest.raises(Conflict, match="exists already"):
        write_backup(settings, kept.file, utc_now())
    assert kept.file.read_bytes() == before


def test_what_pg_dump_says_is_told_and_no_argument_holds_the_address(
    engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    bin_dir, target = tmp_path / "bin", tmp_path / "target"
    bin_dir.mkdir()
    target.mkdir()
    said = 'case "$1" in --version) echo "pg_dump (PostgreSQL) 99.1";; '
    program(
        bin_dir, "pg_dump", f'{said}*) echo "$@" > {tmp_path}/arguments; echo "pg_dump: error: full" >&2; exit 1;; esac'
    )
    with pytest.raises(Conflict, match=r"pg_dump could not finish\. pg_dump: error: full"):
        write_backup(settings.model_copy(update={"postgres_bin_dir": bin_dir}), target / "a.dump", utc_now())
    assert not list(target.iterdir())
    arguments = (tmp_path / "arguments").read_text()
    password = programs.environment(settings)["PGPASSWORD"]
    assert password in settings.database_url
    assert password not in arguments


def test_programs_that_are_older_than_the_server_are_refused_with_both_versions(
    engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    program(tmp_path, "pg_dump", 'echo "pg_dump (PostgreSQL) 9.6"')
    old = settings.model_copy(update={"postgres_bin_dir": tmp_path})
    with pytest.raises(
        Conflict, match=r"The server is Postgres \d+, .*pg_dump is of 9: install .* or set POSTGRES_BIN_DIR"
    ):
        write_backup(old, tmp_path / "a.dump", utc_now())


@pytest.mark.parametrize(
    ("url", "why"),
    [("postgresql://me@127.0.0.1:1/mine", "The database does not answer"), (None, "no tables of this service")],
)
def test_what_cannot_be_backed_up_is_said(empty: Settings, tmp_path: Path, url: str | None, why: str) -> None:
    with pytest.raises(DomainError, match=why):
        write_backup(empty.model_copy(update={"database_url": url or empty.database_url}), tmp_path / "a", utc_now())
    assert not list(tmp_path.iterdir())


def test_the_command_puts_it_into_the_folder_of_backups(ids: dict[str, int], console: Console, tmp_path: Path) -> None:
    done = console("backup", BACKUP_DIR=str(tmp_path / "new" / "backups"))
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "new" / "backups").glob("email-campaign-*Z.dump")
    assert f"{file}: " in done.stdout
    without = console("backup")
    assert without.returncode == 1
    assert "Set BACKUP_DIR, or name a file" in without.stderr
