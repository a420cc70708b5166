"""The relay over HTTP."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import select
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.accounts.users import Role, User
from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery import relays
from email_campaign.delivery.windows import Slice
from email_campaign.local.ports import free_port
from email_campaign.settings import Settings
from tests import factories
from tests.tools.scripted_smtp import Rule, Script, ScriptedServer, running_smtp

Nudges = list[tuple[object, ...]]


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[ScriptedServer]:
    """A relay that takes everything."""
    with running_smtp(Script(auth=True), tmp_path / "wire.log") as server:
        yield server


def _use(app: FastAPI, settings: Settings, port: int, **values: object) -> None:
    app.state.settings = settings.model_copy(update={"smtp_host": "127.0.0.1", "smtp_port": port, **values})


def test_the_relay_says_how_it_is_and_never_the_password(
    app: FastAPI, api: TestClient, settings: Settings, session_factory: SessionFactory
) -> None:
    _use(app, settings, 2525, smtp_username="ada", smtp_password=SecretStr("sesame"))
    with session_factory.begin() as session:
        factories.make_worker(session, connection_count=7)
        factories.make_worker(session, connection_count=2)
        campaign = factories.make_campaign(session, state=MailingState.SENDING)
        campaign.mailing.rate_per_second = 12.5
        relays.note_failure(session, 1, "no route to host", waits=(5.0, 60.0), now=utc_now())
    answer = api.get("/api/v1/relay")
    seen = answer.json()
    assert (seen["host"], seen["port"], seen["security"], seen["username"]) == ("127.0.0.1", 2525, "none", "ada")
    assert (seen["state"], seen["failure_count"], seen["last_error"]) == ("active", 1, "no route to host")
    assert (seen["worker_count"], seen["connection_count"], seen["rate_per_second"]) == (2, 9, 12.5)
    assert "sesame" not in answer.text


def test_the_limit_is_changed_and_what_waits_for_the_old_one_is_freed(
    api: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    later = utc_now() + timedelta(hours=1)
    with session_factory.begin() as session:
        session.add(
            Slice(
                mailing_id=1,
                first_position=1,
                last_position=1,
                row_count=1,
                lane=0,
                due_at=later,
                hold_reason="limit",
            )
        )
    wanted = [{"count": 5_000, "seconds": 3_600}, {"count": 10, "seconds": 1}]
    changed = api.patch("/api/v1/relay", json={"limits": wanted}).json()
    assert changed["limits"] == wanted[::-1]
    assert api.patch("/api/v1/relay", json={"limits": []}).json()["limits"] == []
    assert nudges == [(queue.DISPATCH,)] * 2
    with session_factory() as session:
        assert session.scalars(select(Slice.due_at)).all() == [None]
    refused = api.patch("/api/v1/relay", json={"limits": [{"count": 0, "seconds": 0}]})
    assert [problem["field"] for problem in refused.json()["errors"]] == ["limits"]


def test_the_relay_is_paused_with_a_reason_and_resumed(api: TestClient, nudges: Nudges) -> None:
    paused = api.post("/api/v1/relay/pause", json={"reason": "moving house"}).json()
    assert (paused["state"], paused["state_reason"]) == ("paused", "by Ada: moving house")
    assert nudges == []
    resumed = api.post("/api/v1/relay/resume").json()
    assert (resumed["state"], resumed["state_reason"]) == ("active", "")
    assert nudges == [(queue.DISPATCH,)]


def test_only_an_administrator_changes_the_relay(api: TestClient, user: User, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        session.get_one(User, user.id).role = Role.MEMBER
    assert api.get("/api/v1/relay").status_code == 200
    assert api.patch("/api/v1/relay", json={"limits": []}).status_code == 403
    for action in ("pause", "resume", "test", "try-now", "full-speed"):
        assert api.post(f"/api/v1/relay/{action}", json={}).status_code == 403


def test_a_relay_that_works_is_said_to_work_and_gets_no_mail(
    app: FastAPI, api: TestClient, settings: Settings, smtp: ScriptedServer
) -> None:
    _use(app, settings, smtp.address[1], smtp_username="ada", smtp_password=SecretStr("sesame"))
    checked = api.post("/api/v1/relay/test").json()
    assert (checked["works"], checked["error"]) == (True, "")
    assert next(line["text"][:3] for line in checked["lines"] if line["who"] == "relay") == "220"
    assert smtp.bodies == []


def test_a_relay_that_refuses_our_credentials_says_so(
    app: FastAPI, api: TestClient, settings: Settings, smtp: ScriptedServer
) -> None:
    smtp.script.rules.append(Rule("auth", reply=b"535 5.7.8 Wrong password"))
    _use(app, settings, smtp.address[1], smtp_username="ada", smtp_password=SecretStr("sesame"))
    checked = api.post("/api/v1/relay/test").json()
    assert checked["works"] is False
    assert any(line["text"].startswith("535") and line["is_refusal"] for line in checked["lines"])
    assert "sesame" not in str(checked)


def test_a_relay_that_is_not_there_or_does_not_speak_is_told_from_one_that_works(
    app: FastAPI, api: TestClient, settings: Settings, smtp: ScriptedServer
) -> None:
    _use(app, settings, free_port())
    absent = api.post("/api/v1/relay/test").json()
    assert absent["works"] is False
    assert absent["error"]
    smtp.script.rules.append(Rule("connect", delay_seconds=3.0))
    _use(app, settings, smtp.address[1], smtp_connect_timeout_seconds=0.3)
    silent = api.post("/api/v1/relay/test").json()
    assert silent["works"] is False
    assert silent["seconds"] < 2
