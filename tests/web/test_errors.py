"""Failures as answers, for programs and for people."""

import logging
from typing import Annotated

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field, field_validator
from sqlalchemy import Engine, text
from sqlalchemy.orm import sessionmaker
from starlette.testclient import TestClient

from email_campaign.db import make_engine
from email_campaign.errors import Conflict, FieldProblem, Invalid, NotAllowed, NotFound
from email_campaign.settings import Settings
from email_campaign.signing import derive_key, sign
from email_campaign.web.app import create_app
from email_campaign.web.deps import SessionDep

FAILURES = {
    "not-found": (NotFound("There is no campaign 7."), 404),
    "conflict": (Conflict("The campaign is sending."), 409),
    "not-allowed": (NotAllowed("This needs an administrator."), 403),
    "invalid": (
        Invalid("Two things are wrong.", [FieldProblem("name", "Too long."), FieldProblem("at", "Past.")]),
        422,
    ),
}


class Body(BaseModel):
    """What a probe takes."""

    size: Annotated[int, Field(ge=1)]
    secret: str = ""

    @field_validator("secret")
    @classmethod
    def _never_wrong(cls, value: str) -> str:
        if value == "hunter2-wrong":
            raise ValueError("The secret is too well known.")
        return value


@pytest.fixture(scope="module")
def routes(settings: Settings, engine: Engine) -> FastAPI:
    """An app of this file, with routes that fail."""
    app = create_app(settings, sessionmaker(engine, expire_on_commit=False))

    def fail(kind: str) -> None:
        raise FAILURES[kind][0]

    def break_down() -> None:
        raise RuntimeError("password=hunter2")

    def take(body: Body) -> int:
        return body.size

    def store(session: SessionDep) -> None:
        session.execute(text("SELECT 1 WHERE 'a' = :value"), {"value": "\0"})

    def ask_nowhere(session: SessionDep, secret: str) -> None:
        session.execute(text("SELECT 1 FROM nowhere WHERE 'a' = :value"), {"value": secret})

    for start in ("/api/v1", ""):
        app.add_api_route(f"{start}/ask/{{secret}}", ask_nowhere)
        app.add_api_route(f"{start}/fail/{{kind}}", fail)
        app.add_api_route(f"{start}/break", break_down)
        app.add_api_route(f"{start}/take", take, methods=["POST"])
        app.add_api_route(f"{start}/store", store)
    return app


@pytest.fixture
def probe(app: FastAPI, api: TestClient) -> TestClient:
    """With a token: strangers are told nothing about their bodies."""
    return TestClient(app, base_url="http://127.0.0.1", follow_redirects=False, headers=api.headers)


@pytest.mark.parametrize("kind", FAILURES)
def test_a_domain_error_is_a_problem_for_programs_and_a_page_for_people(probe: TestClient, kind: str) -> None:
    error, status = FAILURES[kind]
    answer = probe.get(f"/api/v1/fail/{kind}")
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert (body["type"], body["status"], body["detail"]) == ("about:blank", status, error.message)
    assert body["instance"] == f"/api/v1/fail/{kind}"
    page = probe.get(f"/fail/{kind}")
    assert page.status_code == status
    assert page.headers["Content-Type"].startswith("text/html")
    assert error.message in page.text


def test_a_problem_names_every_wrong_field(probe: TestClient) -> None:
    assert probe.get("/api/v1/fail/invalid").json()["errors"] == [
        {"field": "name", "message": "Too long."},
        {"field": "at", "message": "Past."},
    ]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ("{}", [{"field": "size", "message": "This is required."}]),
        ('{"size": 0}', [{"field": "size", "message": "It should be greater than or equal to 1."}]),
        ('{"size": 1, "secret": "hunter2-wrong"}', [{"field": "secret", "message": "The secret is too well known."}]),
    ],
)
def test_a_request_of_the_wrong_shape_is_told_field_by_field(
    probe: TestClient, body: str, errors: list[dict[str, str]]
) -> None:
    answer = probe.post("/api/v1/take", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == errors
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("body", ["{", "", "\ud83d".encode("utf-8", "surrogatepass"), "[" * 100_000])
def test_a_body_that_is_no_json_is_a_readable_problem(probe: TestClient, body: str | bytes) -> None:
    answer = probe.post("/api/v1/take", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_what_is_not_there_and_what_is_not_taken(probe: TestClient) -> None:
    for start, kind in (("/api/v1", "application/problem+json"), ("", "text/html")):
        missing = probe.get(f"{start}/nothing")
        assert missing.status_code == 404
        assert missing.headers["Content-Type"].startswith(kind)
        wrong = probe.put(f"{start}/take")
        assert wrong.status_code == 405
        assert wrong.headers["Allow"] == "POST"
        assert "PUT" in wrong.text


def test_an_unexpected_failure_shows_an_id_and_nothing_of_the_inside(
    probe: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("/api/v1/break", "/break"):
        caplog.clear()
        answer = probe.get(path)
        assert answer.status_code == 500
        assert "hunter2" not in answer.text
        assert "Traceback" not in answer.text
        (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
        error_id = record.getMessage().split()[1]
        assert error_id in answer.text
        assert record.exc_info
        assert "Content-Security-Policy" in answer.headers


def test_neither_the_path_nor_a_value_gets_into_the_log(
    probe: TestClient, without_database: TestClient, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A path may be a link with which a password is set, or somebody unsubscribed."""
    link = sign(derive_key(settings.secret_key.get_secret_value(), "password-reset"), bytes(24))
    assert probe.get("/ask/hunter2").status_code == 500
    assert without_database.get(f"/reset/{link}").status_code == 503
    assert "in GET /ask/{secret}" in caplog.text
    assert "UndefinedTable" in caplog.text
    assert "the database does not answer GET /reset/{token}" in caplog.text
    assert link not in caplog.text
    assert "hunter2" not in caplog.text


def test_a_value_that_the_database_cannot_store_is_the_senders_fault(probe: TestClient) -> None:
    assert probe.get("/api/v1/store").status_code == 422


@pytest.fixture
def without_database(settings: Settings) -> TestClient:
    away = settings.model_copy(update={"database_url": "postgresql+psycopg://nobody@127.0.0.1:1/nothing"})
    app = create_app(away, sessionmaker(make_engine(away)))
    client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
    client.headers["Authorization"] = "Bearer ec_x"
    return client


def test_a_database_that_is_away_is_said_with_when_to_try_again(without_database: TestClient) -> None:
    answer = without_database.get("/api/v1/me")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "database" in answer.json()["detail"]
    assert "127.0.0.1" not in answer.json()["detail"]


def test_health_without_a_database(without_database: TestClient) -> None:
    assert without_database.get("/livez").status_code == 200
    ready = without_database.get("/readyz")
    assert ready.status_code == 503
    assert {check["name"]: check["ok"] for check in ready.json()["checks"]} == {"database": False, "broker": True}


def test_a_person_reads_a_page_when_the_database_is_away(
    without_database: TestClient, signed_in: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    without_database.cookies = signed_in.cookies
    answer = without_database.get("/admin/settings")
    assert answer.status_code == 503
    assert "The database does not answer" in answer.text
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert f"The log has it as error {record.getMessage().split()[1].strip(':')}." in answer.text


def test_half_a_character_is_a_wrong_value_and_no_failure(api: TestClient) -> None:
    body = '{"name": "half \\ud800 a pair"}'
    answer = api.post("/api/v1/lists", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
