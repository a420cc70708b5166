"""Hosts, sizes and headers: what holds for every answer."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from email_campaign.db import SessionFactory
from email_campaign.settings import Settings
from email_campaign.web.app import create_app


@pytest.mark.parametrize("path", ["/sign-in", "/admin", "/nothing", "/api/v1/me", "/livez", "/static/nothing.css"])
def test_every_answer_binds_the_browser(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "Permissions-Policy" in headers


def test_pages_are_not_kept_and_static_files_with_a_hash_are(signed_in: TestClient) -> None:
    assert signed_in.get("/admin/settings").headers["Cache-Control"] == "no-store"
    assert "immutable" in signed_in.get("/static/app.css?v=0123456789ab").headers["Cache-Control"]
    assert signed_in.get("/static/app.css").headers["Cache-Control"] == "no-cache"


def test_a_missing_static_file_is_not_kept_for_a_year(client: TestClient) -> None:
    answer = client.get("/static/nothing.css?v=1")
    assert answer.status_code == 404
    assert "immutable" not in answer.headers.get("Cache-Control", "")


@pytest.mark.parametrize("host", ["evil.example", "", "127.0.0.1.evil.example", "[", "localhost@evil.example"])
def test_a_foreign_host_is_refused_and_told_which_setting_allows_it(client: TestClient, host: str) -> None:
    answer = client.get("/sign-in", headers={"Host": host})
    assert answer.status_code == 400
    assert "ALLOWED_HOSTS" in answer.text


def test_the_public_host_and_those_of_the_setting_are_allowed(
    settings: Settings, session_factory: SessionFactory
) -> None:
    own = settings.model_copy(update={"public_url": "https://Mail.example.com", "allowed_hosts": ("Other.example",)})
    client = TestClient(create_app(own, session_factory), base_url="http://127.0.0.1")
    for host in ("mail.example.com", "MAIL.example.com:443", "other.example", "localhost:8000", "[::1]:8000"):
        assert client.get("/sign-in", headers={"Host": host}).status_code == 200, host


def test_a_probe_may_ask_by_any_name(client: TestClient) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        assert client.get(path, headers={"Host": "10.0.0.7"}).status_code != 400


def test_over_https_the_cookies_and_the_host_are_bound_to_it(
    settings: Settings, session_factory: SessionFactory
) -> None:
    own = settings.model_copy(update={"cookie_secure": True})
    answer = TestClient(create_app(own, session_factory), base_url="https://127.0.0.1").get("/sign-in")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "max-age=" in answer.headers["Strict-Transport-Security"]


def _chunks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b" " * 1024


@pytest.fixture
def small(settings: Settings, app: FastAPI, session_factory: SessionFactory, api: TestClient) -> TestClient:
    """The API's client on an app that takes 10 kB and imports of 20 kB."""
    limits = {"request_max_bytes": 10 * 1024, "import_max_bytes": 20 * 1024}
    made = TestClient(create_app(settings.model_copy(update=limits), session_factory), base_url="http://127.0.0.1")
    made.headers["Authorization"] = api.headers["Authorization"]
    return made


def test_a_body_that_is_too_large_is_refused_with_the_limit(small: TestClient) -> None:
    for content in (b" " * 11 * 1024, _chunks(11)):
        answer = small.post("/api/v1/tokens", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert "10,240 bytes" in answer.json()["detail"]
    assert small.post("/api/v1/tokens", json={"name": "x"}).status_code == 201


def test_an_import_may_be_larger(small: TestClient) -> None:
    assert small.post("/api/v1/imports", content=b" " * 15 * 1024).status_code != 413
    assert small.post("/api/v1/imports", content=b" " * 100 * 1024).status_code == 413
