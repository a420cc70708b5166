"""The doctor: what it finds, how it says so, and that it works where nothing else does."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery import relays, workers
from email_campaign.local import doctor, doctor_services, ports
from email_campaign.local.doctor_services import _clock
from email_campaign.local.findings import Finding, guarded, ok
from email_campaign.local.runfile import Run
from email_campaign.settings import Settings
from email_campaign.tasks import signs
from tests.commands import command
from tests.tools.scripted_smtp import Script, running_smtp


def by_name(findings: Sequence[Finding]) -> dict[str, Finding]:
    assert len({finding.name for finding in findings}) == len(findings)
    return {finding.name: finding for finding in findings}


def at_work(factory: SessionFactory) -> None:
    with factory.begin() as session:
        for name in (signs.SWEEP, "control", "work"):
            signs.give_sign(session, name)
        workers.register(session, host="here", pid=1, now=utc_now())


def test_a_well_service_has_nothing_to_mend(
    settings: Settings, session_factory: SessionFactory, tmp_path: Path
) -> None:
    at_work(session_factory)
    with running_smtp(Script(), tmp_path / "wire.jsonl") as relay:
        well = settings.model_copy(update={"smtp_port": relay.address[1]})
        found = by_name(doctor.examine(well, tmp_path, None))
    assert [finding for finding in found.values() if finding.state == "fail"] == []
    assert set(found) >= {
        "interpreter",
        "secret key",
        "disk",
        "database",
        "connections",
        "migrations",
        "clock of Postgres",
        "clock of the broker",
        "sweep",
        "queue control",
        "queue work",
        "queues send, send.system",
        "due copies",
        "broker",
        "relay",
        "relay's state",
        "images",
    }


def test_whatever_is_down_is_named_with_its_mend_and_the_rest_is_looked_at(settings: Settings, tmp_path: Path) -> None:
    nowhere = settings.model_copy(
        update={
            "database_url": "postgresql+psycopg://me@127.0.0.1:1/mine",
            "redis_url": "redis://127.0.0.1:1/0",
            "smtp_port": ports.free_port(),
            "public_url": "http://127.0.0.1:1",
        }
    )
    found = by_name(doctor.examine(nowhere, tmp_path, None))
    assert {name for name, finding in found.items() if finding.state == "fail"} == {"database", "broker", "relay"}
    assert "DATABASE_URL" in found["database"].mend
    assert "SMTP_HOST" in found["relay"].mend
    assert found["pages"].state == "warn"
    told = doctor.as_text(list(found.values()))
    assert "FAIL  database: It does not answer" in told
    assert "→ Start Postgres" in told


def test_a_storage_of_images_that_cannot_be_used_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "media").write_text("in the way")
    for update, told in (
        ({"media_dir": tmp_path / "media"}, "MEDIA_DIR"),
        ({"s3_bucket": "images", "s3_endpoint_url": "http://127.0.0.1:1", "s3_region": "x"}, "S3_*"),
    ):
        (finding,) = doctor_services.images(settings.model_copy(update=update))
        assert finding.state == "fail"
        assert told in finding.mend
    folder = tmp_path / "another"
    (finding,) = doctor_services.images(settings.model_copy(update={"media_dir": folder}))
    assert (finding.state, list(folder.iterdir())) == ("ok", [])


def test_a_service_that_does_nothing_is_not_well(
    settings: Settings, session_factory: SessionFactory, tmp_path: Path
) -> None:
    with session_factory.begin() as session:
        relays.pause(session, 1, "by Ada: moving house")
    found = by_name(doctor.examine(settings, tmp_path, None))
    assert found["sweep"].state == "fail"
    assert "worker" in found["queues send, send.system"].mend
    assert found["relay's state"].seen == "It is paused, so nothing goes out: by Ada: moving house"


def test_a_schema_of_another_release_is_named(
    settings: Settings, session_factory: SessionFactory, engine: Engine, tmp_path: Path
) -> None:
    with engine.begin() as connection:
        head = connection.scalar(text("SELECT version_num FROM alembic_version"))
    try:
        for there, state, mend in (("2f49affb7fda", "fail", "email-campaign migrate"), ("newer", "warn", "Upgrade")):
            with engine.begin() as connection:
                connection.execute(text("UPDATE alembic_version SET version_num = :there"), {"there": there})
            finding = by_name(doctor.examine(settings, tmp_path, None))["migrations"]
            assert finding.state == state
            assert mend in finding.mend
    finally:
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": head})


def test_what_make_run_chose_is_used_where_nothing_is_set(tmp_path: Path) -> None:
    run = Run(
        version="1",
        pid=1,
        started_at="",
        data_dir=str(tmp_path),
        addresses={"database": "postgresql+psycopg://a@b:7/c", "redis": "redis://d:8/0", "relay": "[::1]:1025"},
        ports={},
        pids={},
    )
    by_hand = Settings(_env_file=None, redis_url="redis://mine:6379/0")
    used = doctor.of_run(by_hand, run)
    assert (used.database_url, used.redis_url) == ("postgresql+psycopg://a@b:7/c", "redis://mine:6379/0")
    assert (used.smtp_host, used.smtp_port, used.data_dir) == ("::1", 1025, tmp_path)


@pytest.mark.parametrize(("apart", "state"), [(0.5, "ok"), (-10.0, "warn"), (3600.0, "fail")])
def test_clocks_that_differ_are_judged_by_how_much(apart: float, state: str) -> None:
    now = utc_now().timestamp()
    assert _clock("clock", now + apart, now).state == state


def test_a_question_that_breaks_is_a_finding() -> None:
    def breaks() -> Sequence[Finding]:
        raise RuntimeError("not today")

    (finding,) = guarded("broker", breaks)
    assert finding.state == "fail"
    assert "not today" in finding.seen
    assert guarded("disk", lambda: [ok("disk", "Fine.")]) == [ok("disk", "Fine.")]


def test_the_command_ends_with_1_and_speaks_json(tmp_path: Path) -> None:
    nowhere = {
        "DATABASE_URL": "postgresql://me@127.0.0.1:1/mine",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": "1",
        "PUBLIC_URL": "http://127.0.0.1:1",
    }
    seen = command("doctor", "--json", data_dir=tmp_path, **nowhere)
    assert seen.returncode == 1, seen.stderr
    told = json.loads(seen.stdout)
    assert told["ok"] is False
    assert {"database", "broker", "relay"} <= {one["name"] for one in told["findings"] if one["state"] == "fail"}
    assert "Traceback" not in seen.stderr
