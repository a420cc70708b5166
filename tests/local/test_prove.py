"""`email-campaign prove` as people and scripts meet it: its words, its files, and its exit codes."""

import gzip
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from email_campaign.campaigns.mailings import MailingState
from email_campaign.db import SessionFactory
from email_campaign.delivery.compose import derive_message_id
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.orders import derive_keys
from email_campaign.local.cli import main
from email_campaign.settings import Settings, get_settings
from tests import factories


@dataclass
class Seen:
    """What a command printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


Prove = Callable[..., Seen]


@pytest.fixture
def campaign_id(session_factory: SessionFactory) -> int:
    """A finished campaign to three."""
    with session_factory.begin() as session:
        campaign = factories.make_campaign(session, name="Spring", state=MailingState.FINISHED)
        for _ in range(3):
            contact = factories.make_contact(session)
            delivery = factories.make_delivery(session, campaign.mailing, contact, state=DeliveryState.ACCEPTED)
            factories.make_attempt(session, delivery)
        session.execute(text("INSERT INTO stretches VALUES (:m, 1, 3, 4, 0)"), {"m": campaign.id})
        return campaign.id


@pytest.fixture
def prove(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Prove]:
    """The console command in this process, as it would read its environment."""
    monkeypatch.chdir(tmp_path)  # so that the folder that the command goes to is left again

    def run(*arguments: object, **environment: str) -> Seen:
        known = {"DATABASE_URL": settings.database_url, "SECRET_KEY": settings.secret_key.get_secret_value()}
        for name, value in {"DATA_DIR": str(tmp_path / "data"), **known, **environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["email-campaign", "prove", *map(str, arguments)])
        get_settings.cache_clear()
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return Seen(int(end.value.code or 0), printed.out, printed.err)

    yield run
    get_settings.cache_clear()


def test_a_campaign_that_holds_exits_with_0_and_one_that_does_not_with_1(
    prove: Prove, campaign_id: int, session_factory: SessionFactory
) -> None:
    seen = prove(campaign_id)
    assert seen.returncode == 0, seen
    assert "Recounted: 3 accepted." in seen.stdout
    assert "ok  Every accepted copy has the attempt that was accepted. (3 checked)" in seen.stdout
    assert seen.stdout.endswith("\nIt holds.\n")
    with session_factory.begin() as session:
        session.execute(text("UPDATE attempts SET code = 451 WHERE position = 2"))
    seen = prove(campaign_id)
    assert seen.returncode == 1
    assert f"{campaign_id}-2: It is accepted, and no attempt says that the relay took it." in seen.stdout
    assert seen.stdout.endswith("\nIT DOES NOT HOLD.\n")
    as_json = prove(campaign_id, "--json")
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout)["verdict"] == "does_not_hold"


def test_what_cannot_be_checked_exits_with_2(prove: Prove, campaign_id: int, tmp_path: Path) -> None:
    assert prove(campaign_id + 1).returncode == 2
    gone = prove(campaign_id, DATABASE_URL="postgresql://me@127.0.0.1:1/mine")
    assert (gone.returncode, gone.stderr[:28]) == (2, "The database does not answer")
    assert prove("--file", tmp_path / "nothing").returncode == 2
    assert prove("spring").returncode == 2
    assert prove().returncode == 2
    no_key = prove(campaign_id, "--export", tmp_path / "log", SECRET_KEY="")
    assert (no_key.returncode, no_key.stderr[:22]) == (2, "SECRET_KEY is not set:")


def test_a_file_is_written_and_verified_without_a_database(prove: Prove, campaign_id: int, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    assert prove(campaign_id, "--export", file).returncode == 0
    assert [one.name for one in tmp_path.glob("log*")] == ["log.jsonl"]
    nowhere = "postgresql://me@127.0.0.1:1/mine"
    seen = prove("--file", file, DATABASE_URL=nowhere)
    assert seen.returncode == 0, seen
    assert "“Spring”" in seen.stdout
    assert "3 accepted." in seen.stdout
    assert prove("--file", file, DATABASE_URL=nowhere, SECRET_KEY="").returncode == 2
    file.write_bytes(file.read_bytes().replace(b'"reply":"Ok"', b'"reply":"No"', 1))
    seen = prove("--file", file, DATABASE_URL=nowhere)
    assert seen.returncode == 1
    assert seen.stdout.startswith("Line 2 is wrong: it was changed")


def test_the_key_that_run_has_made_is_found(prove: Prove, campaign_id: int, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret-key").write_text("made by run\n")
    assert prove(campaign_id, "--export", tmp_path / "log", SECRET_KEY="").returncode == 0
    assert prove("--file", tmp_path / "log", SECRET_KEY="").returncode == 0
    assert prove("--file", tmp_path / "log", SECRET_KEY="another").returncode == 2


def test_the_relays_log_is_read_also_when_it_is_packed(
    prove: Prove, campaign_id: int, tmp_path: Path, settings: Settings
) -> None:
    key = derive_keys(settings).message_id
    ids = [derive_message_id(key, campaign_id, position, "news@example.com").encode() for position in (1, 2, 3)]
    lines = [b"mx postfix/cleanup[1]: 4Qx1a%dB0zz: message-id=%s\n" % (n, one) for n, one in enumerate(ids)]
    (tmp_path / "mail.log").write_bytes(lines[0])
    with gzip.open(tmp_path / "mail.log.1.gz", "wb") as packed:
        packed.writelines(lines[1:])
    logs = ("--relay-log", tmp_path / "mail.log", "--relay-log", tmp_path / "mail.log.1.gz")
    seen = prove(campaign_id, *logs)
    assert seen.returncode == 0, seen
    assert "The relay's log names 3 copies of this campaign" in seen.stdout
    seen = prove(campaign_id, *logs[:2])
    assert seen.returncode == 1
    assert f"{campaign_id}-2: It is accepted, and the relay's log does not name it." in seen.stdout
    (tmp_path / "mail.log").write_bytes(b"nothing of ours\n")
    assert prove(campaign_id, *logs[:2]).returncode == 2
