"""The API's rate limit per token."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from fastapi import FastAPI
from starlette.testclient import TestClient

from email_campaign.accounts.tokens import create_token
from email_campaign.accounts.users import User
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.throttle_requests import RequestLimit
from email_campaign.local import ports
from email_campaign.settings import Settings
from email_campaign.web.app import create_app


@pytest.fixture
def app(settings: Settings, session_factory: SessionFactory) -> FastAPI:
    """The app, with two requests a minute."""
    return create_app(settings.model_copy(update={"api_rate_per_minute": 2}), session_factory)


def test_every_answer_says_what_is_left_and_the_one_too_many_is_refused(api: TestClient) -> None:
    answers = [api.get("/api/v1/me"), api.get("/api/v1/campaigns/999"), api.get("/api/v1/me")]
    assert [one.status_code for one in answers] == [200, 404, 429]
    assert [one.headers["RateLimit"].split(";t=")[0] for one in answers] == [
        '"token";r=1',
        '"token";r=0',
        '"token";r=0',
    ]
    assert {one.headers["RateLimit-Policy"] for one in answers} == {'"token";q=2;w=60'}
    assert answers[-1].headers["Content-Type"] == "application/problem+json"
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert "2 requests" in answers[-1].json()["detail"]


def test_another_token_of_the_same_user_has_requests_of_its_own(
    api: TestClient, user: User, session_factory: SessionFactory
) -> None:
    assert [api.get("/api/v1/me").status_code for _ in range(3)] == [200, 200, 429]
    with session_factory.begin() as session:
        _, other = create_token(session, user_id=user.id, name="other", now=utc_now())
    assert api.get("/api/v1/me", headers={"Authorization": f"Bearer {other}"}).status_code == 200


def test_pages_probes_and_unsubscribing_are_never_limited(signed_in: TestClient) -> None:
    assert {signed_in.get("/admin/lists").status_code for _ in range(4)} == {200}
    assert {signed_in.get("/livez").status_code for _ in range(4)} == {200}
    assert {signed_in.post("/unsubscribe/no-such-token").status_code for _ in range(4)} == {404}


def test_web_processes_share_what_is_left(redis_url: str) -> None:
    one, other = RequestLimit(redis_url, 100), RequestLimit(redis_url, 100)
    with ThreadPoolExecutor(4) as pool:
        quotas = list(pool.map(lambda n: (one, other)[n % 2].count("shared"), range(101)))
    assert [quota.is_exceeded for quota in quotas if quota].count(True) == 1
    one.close()
    other.close()


def test_a_new_minute_brings_new_requests(redis_url: str) -> None:
    limit = RequestLimit(redis_url, 1)
    assert [quota.is_exceeded for _ in range(2) if (quota := limit.count("patient"))] == [False, True]
    with redis.Redis.from_url(redis_url) as broker:
        (key,) = broker.keys("throttle:requests:patient")
        assert 0 < broker.pttl(key) <= 60_000
        broker.pexpire(key, 1)
        while broker.exists(key):
            time.sleep(0.001)
    quota = limit.count("patient")
    assert quota is not None
    assert not quota.is_exceeded
    limit.close()


def test_without_a_broker_the_api_is_open_and_does_not_wait_for_it_each_time(
    settings: Settings, session_factory: SessionFactory, api: TestClient
) -> None:
    nobody = settings.model_copy(
        update={"api_rate_per_minute": 1, "redis_url": f"redis://127.0.0.1:{ports.free_port()}"}
    )
    client = TestClient(create_app(nobody, session_factory), base_url="http://127.0.0.1", headers=api.headers)
    answers = [client.get("/api/v1/me") for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 200]
    assert "RateLimit" not in answers[-1].headers


def test_no_limit_is_none_and_asks_nobody() -> None:
    limit = RequestLimit("redis://127.0.0.1:1/0", 0)
    assert limit.count("anybody") is None
