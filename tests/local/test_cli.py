"""The console command as people and scripts meet it."""

import json
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from email_campaign.accounts.tokens import authenticate_token
from email_campaign.accounts.users import Role, User, authenticate
from email_campaign.clock import utc_now
from email_campaign.settings import Settings
from tests.commands import command


def test_status_says_when_nothing_runs(tmp_path: Path) -> None:
    seen = command("status", "--json", data_dir=tmp_path)
    assert seen.returncode == 3
    assert json.loads(seen.stdout)["running"] is False


def test_a_setting_that_cannot_be_used_is_named_without_a_traceback(tmp_path: Path) -> None:
    seen = command("status", data_dir=tmp_path, WEB_PORT="eighty", DATABASE_URL="mysql://me:hunter2@127.0.0.1/mine")
    assert seen.returncode == 1
    assert "WEB_PORT=eighty: Input should be a valid integer" in seen.stderr
    assert "DATABASE_URL=mysql://…@127.0.0.1/mine: Value error, must look like" in seen.stderr
    assert "hunter2" not in seen.stderr
    assert "Traceback" not in seen.stderr


def test_a_demo_that_does_not_exist_is_told_with_those_that_do(tmp_path: Path) -> None:
    seen = command("run", data_dir=tmp_path, DEMO="crahs")
    assert seen.returncode == 1
    assert "DEMO=crahs: Value error, must be true, false or crash" in seen.stderr
    assert not list(tmp_path.iterdir())


def test_run_names_a_database_that_is_not_there(tmp_path: Path, redis_url: str) -> None:
    nowhere = "postgresql://me@127.0.0.1:1/mine"
    seen = command("run", data_dir=tmp_path, DATABASE_URL=nowhere, REDIS_URL=redis_url)
    assert seen.returncode == 1
    assert "The database of DATABASE_URL cannot be reached" in seen.stderr
    assert "Traceback" not in seen.stderr


def test_an_administrator_and_a_token_are_made(tmp_path: Path, settings: Settings, session: Session) -> None:
    made = command("create-admin", "Ada@Example.com", data_dir=tmp_path, DATABASE_URL=settings.database_url)
    password = made.stdout.strip().rpartition(" ")[2]
    user = authenticate(session, address="ada@example.com", password=password)
    assert user
    assert user.role == Role.ADMIN
    session.commit()  # the commands take their time, and no transaction may idle for long
    token = command("create-token", "ada@example.com", "ci", data_dir=tmp_path, DATABASE_URL=settings.database_url)
    assert authenticate_token(session, token=token.stdout.strip(), now=utc_now()) == user
    session.commit()
    again = command("create-admin", "ada@example.com", data_dir=tmp_path, DATABASE_URL=settings.database_url)
    assert again.returncode == 1
    assert "Traceback" not in again.stderr
    assert len(session.scalars(select(User)).all()) == 1


def test_without_any_database_the_command_says_what_to_do(tmp_path: Path) -> None:
    seen = command("migrate", data_dir=tmp_path)
    assert seen.returncode == 1
    assert "set DATABASE_URL, or start the service" in seen.stderr
