"""The embedded Postgres: made once, reachable by password only."""

from pathlib import Path

import psycopg
import pytest

from email_campaign.local import places, ports, postgres
from email_campaign.local.programs import Lifeline, StartFailed, running
from email_campaign.settings import Settings


@pytest.fixture
def bin_dir() -> Path:
    return postgres.find_binaries(places.data_dir(Settings()), Settings().postgres_bin_dir)


def test_rows_outlive_a_restart(lifeline: Lifeline, services_dir: Path, bin_dir: Path) -> None:
    home, log = services_dir / "restarted cluster", services_dir / "restarted.log"
    for expected in (0, 1):
        cluster = postgres.prepare(home, port=ports.free_port(), bin_dir=bin_dir)
        with running(lifeline, cluster.program(), log), psycopg.connect(cluster.url) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (expected,)
            connection.execute("INSERT INTO kept VALUES (1)")


def test_an_interrupted_first_start_is_made_good(services_dir: Path, bin_dir: Path) -> None:
    home = services_dir / "interrupted"
    (home / "data.half" / "base").mkdir(parents=True)
    postgres.prepare(home, port=ports.free_port(), bin_dir=bin_dir)
    assert (home / "data" / "PG_VERSION").is_file()
    assert not (home / "data.half").exists()


def test_a_wrong_password_is_refused(postgres_url: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_url, password="wrong", connect_timeout=5)


def test_other_programs_than_those_that_made_the_data_are_named(services_dir: Path, bin_dir: Path) -> None:
    home = services_dir / "older"
    (home / "data").mkdir(parents=True)
    (home / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(StartFailed, match=r"made by Postgres 15.*set POSTGRES_BIN_DIR"):
        postgres.prepare(home, port=ports.free_port(), bin_dir=bin_dir)


def test_a_folder_without_postgres_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=f"POSTGRES_BIN_DIR={tmp_path} holds no initdb"):
        postgres.find_binaries(tmp_path, tmp_path)
