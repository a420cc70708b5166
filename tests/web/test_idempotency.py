"""Requests that are sent again with the same Idempotency-Key."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI, File, Form, Request, UploadFile
from pydantic import BaseModel
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import sessionmaker
from starlette.testclient import TestClient

from email_campaign.audience.lists import MailingList
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.errors import Conflict
from email_campaign.settings import Settings
from email_campaign.tasks.idempotency import IdempotencyKey, purge
from email_campaign.web.app import create_app
from email_campaign.web.deps import SessionDep
from email_campaign.web.idempotency import OnceDep

KEY = {"Idempotency-Key": "launch 7"}


class Wanted(BaseModel):
    """A list to be made."""

    name: str


class Made(BaseModel):
    """A list that was made."""

    id: int


class Gate:
    """Lets a test hold a request inside its route, or make it fail."""

    def __init__(self) -> None:
        self.entered, self.open, self.fails = threading.Event(), threading.Event(), False
        self.open.set()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture(scope="module")
def routes(settings: Settings, engine: Engine) -> FastAPI:
    """An app of this file, whose /probe makes a list for every request that it carries out."""
    app = create_app(settings, sessionmaker(engine, expire_on_commit=False))

    def make(request: Request, session: SessionDep, once: OnceDep, wanted: Wanted) -> Made:
        gate: Gate = request.app.state.gate
        gate.entered.set()
        assert gate.open.wait(20)
        row = MailingList(name=wanted.name)
        session.add(row)
        session.flush()
        made = Made(id=row.id)
        once.keep(201, made)
        if gate.fails:
            raise Conflict("Not now.")
        session.commit()
        return made

    def upload(session: SessionDep, once: OnceDep, file: UploadFile = File(), name: str = Form()) -> Made:
        made = Made(id=len(file.file.read()) + len(name))
        once.keep(201, made)
        session.commit()
        return made

    app.add_api_route("/api/v1/probe", make, methods=["POST"], status_code=201)
    app.add_api_route("/api/v1/upload", upload, methods=["POST"], status_code=201)
    return app


@pytest.fixture
def lists(app: FastAPI, api: TestClient, gate: Gate) -> TestClient:
    """The API's client on that app."""
    app.state.gate = gate
    return api


def _post(client: TestClient, name: str = "News", headers: dict[str, str] = KEY) -> Any:
    return client.post("/api/v1/probe", json={"name": name}, headers=headers)


def _list_count(factory: SessionFactory) -> int:
    with factory() as session:
        return session.scalar(select(func.count()).select_from(MailingList)) or 0


def test_the_same_request_is_carried_out_once_and_answered_the_same(
    lists: TestClient, session_factory: SessionFactory
) -> None:
    first, second = _post(lists), _post(lists)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert _list_count(session_factory) == 1


def test_without_a_key_every_request_is_carried_out(lists: TestClient, session_factory: SessionFactory) -> None:
    assert [_post(lists, name, {}).status_code for name in ("News", "Offers")] == [201, 201]
    assert _list_count(session_factory) == 2


def test_a_key_of_another_request_is_refused(lists: TestClient, session_factory: SessionFactory) -> None:
    _post(lists)
    answer = _post(lists, "Offers")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    assert _list_count(session_factory) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_of_the_wrong_length_is_refused(lists: TestClient, key: str) -> None:
    assert _post(lists, headers={"Idempotency-Key": key}).status_code == 422


def test_while_the_first_runs_the_second_is_told_to_wait(
    lists: TestClient, gate: Gate, session_factory: SessionFactory
) -> None:
    gate.open.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(_post, lists)
        assert gate.entered.wait(20)
        assert _post(lists).status_code == 409
        gate.open.set()
        assert first.result().status_code == 201
    assert _post(lists).headers["Idempotent-Replayed"] == "true"
    assert _list_count(session_factory) == 1


def test_a_request_that_failed_may_be_sent_again(
    lists: TestClient, gate: Gate, session_factory: SessionFactory
) -> None:
    gate.fails = True
    assert _post(lists).status_code == 409
    gate.fails = False
    answer = _post(lists)
    assert answer.status_code == 201
    assert "Idempotent-Replayed" not in answer.headers
    assert _list_count(session_factory) == 1


def test_the_same_upload_is_the_same_request_whatever_its_boundary(lists: TestClient) -> None:
    def upload(content: bytes) -> Any:
        return lists.post("/api/v1/upload", data={"name": "abc"}, files={"file": ("a.csv", content)}, headers=KEY)

    assert upload(b"address\n").json() == {"id": 11}
    assert upload(b"address\n").headers["Idempotent-Replayed"] == "true"
    assert upload(b"Address\n").status_code == 422


def test_a_key_is_forgotten_after_a_day(lists: TestClient, session_factory: SessionFactory) -> None:
    _post(lists)
    with session_factory.begin() as session:
        key = session.scalars(select(IdempotencyKey)).one()
        key.created_at -= timedelta(hours=24)
    assert "Idempotent-Replayed" not in _post(lists, "Offers").headers
    assert _list_count(session_factory) == 2
    with session_factory.begin() as session:
        purge(session, now=utc_now())
        assert len(session.scalars(select(IdempotencyKey)).all()) == 1
        purge(session, now=utc_now() + timedelta(hours=24))
        assert session.scalars(select(IdempotencyKey)).all() == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/lists", {"name": "News"}),
        ("/contacts", {"address": "ada@example.org"}),
        ("/templates", {"name": "Spring", "subject": "Spring is here", "text": "Hello"}),
        ("/campaigns", {"name": "Spring"}),
        ("/suppressions", {"address": "ada@example.org"}),
    ],
)
def test_what_was_created_is_answered_again_and_not_created_twice(api: TestClient, path: str, body: object) -> None:
    first, second = (api.post(f"/api/v1{path}", json=body, headers=KEY) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(api.get(f"/api/v1{path}").json()["items"]) == 1


def test_a_file_that_is_sent_again_is_imported_once(api: TestClient) -> None:
    sent = [
        api.post("/api/v1/imports", files={"file": ("a.csv", b"address\nada@example.org\n")}, headers=KEY)
        for _ in range(2)
    ]
    assert [one.status_code for one in sent] == [202, 202]
    assert sent[0].json() == sent[1].json()
    assert len(api.get("/api/v1/imports").json()["items"]) == 1
