"""`import`, `send-test` and `flower` on the command line."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from email_campaign.audience.contacts import Contact
from email_campaign.audience.subscriptions import Subscription
from email_campaign.local import ports
from email_campaign.settings import Settings
from tests import factories
from tests.commands import Console

PEOPLE = "address,name\nada@example.com,Ada\nnobody,Bob\neve@example.com,Eve\n"


def test_a_file_is_imported_into_a_list_and_its_refused_rows_are_named(
    tmp_path: Path, session: Session, console: Console
) -> None:
    file = tmp_path / "people.csv"
    file.write_text(PEOPLE)
    seen = console("import", file, "--list", "Customers", "--new-list")
    assert seen.returncode == 0, seen.stderr
    assert "3 rows: 2 created, 0 changed, 0 unchanged, 0 repeated, 1 refused." in seen.stdout
    assert "line 3: " in seen.stdout
    assert set(session.scalars(select(Contact.address))) == {"ada@example.com", "eve@example.com"}
    assert len(session.scalars(select(Subscription)).all()) == 2
    session.rollback()
    again = console("import", file, "--list", "customers")
    assert "2 unchanged" in again.stdout, again.stderr


def test_what_cannot_be_imported_is_said(tmp_path: Path, session: Session, console: Console) -> None:
    factories.make_list(session, "Readers")
    session.commit()
    file = tmp_path / "people.csv"
    file.write_text("name\nAda\n")
    for arguments, why in (
        ((file, "--list", "Customers"), "There is no list “Customers”. There are: Readers. With --new-list"),
        ((file, "--list", "Readers"), "address"),
        ((tmp_path / "none.csv", "--list", "Readers"), "none.csv cannot be read: No such file or directory."),
    ):
        seen = console("import", *arguments)
        assert seen.returncode == 1
        assert why in seen.stderr
        assert "Traceback" not in seen.stderr


def test_a_test_that_nobody_sends_is_told_as_not_known_yet(tmp_path: Path, session: Session, console: Console) -> None:
    campaign = factories.make_campaign(session, template=factories.make_template(session))
    session.commit()
    campaign_id = str(campaign.id)
    seen = console("send-test", campaign_id, "ada@example.com", "--wait", "0")
    assert seen.returncode == 2
    assert "is pending. Is a send worker running?" in seen.stderr
    for arguments, why in (
        ((campaign_id, "nobody"), "name@domain"),
        (("999999", "ada@example.com"), "no campaign 999999"),
    ):
        refused = console("send-test", *arguments)
        assert refused.returncode == 1
        assert why in refused.stderr


@pytest.mark.parametrize("auth", ["", "password-alone", ":password", "user:"])
def test_flower_is_refused_without_a_password(console: Console, auth: str) -> None:
    seen = console("flower", FLOWER_BASIC_AUTH=auth)
    assert seen.returncode == 1
    assert "Set FLOWER_BASIC_AUTH=user:password" in seen.stderr


def test_flower_serves_on_our_broker_behind_its_password(tmp_path: Path, settings: Settings) -> None:
    port = ports.free_port()
    program = subprocess.Popen(
        [sys.executable, "-m", "email_campaign.local.cli", "flower", "--port", str(port)],
        env={
            **os.environ,
            "DATA_DIR": str(tmp_path),
            "REDIS_URL": settings.redis_url,
            "FLOWER_BASIC_AUTH": "ada:secret",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not ports.is_answering("127.0.0.1", port):
            assert program.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert httpx.get(f"http://127.0.0.1:{port}/workers").status_code == 401
        assert httpx.get(f"http://127.0.0.1:{port}/workers", auth=("ada", "secret")).status_code == 200
    finally:
        program.terminate()
        program.wait(20)
