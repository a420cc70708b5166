"""The page of the relay: can we send, and how fast?"""

import re
from datetime import timedelta

from fastapi import FastAPI
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.accounts.users import Role, User
from email_campaign.campaigns.limits import RateLimit
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.relays import Relay, RelayState
from tests.factories import make_worker

HERE = "/admin/relay"

Nudges = list[tuple[object, ...]]


def test_without_a_worker_it_says_that_nothing_goes_out(signed_in: TestClient) -> None:
    page = signed_in.get(HERE).text
    assert "No send worker is running" in page
    assert "cannot send" in page


def test_the_page_tells_where_how_fast_and_by_whom(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        make_worker(session, rate_per_second=812.4, connection_count=24)
        session.get_one(Relay, 1).last_success_at = utc_now()
    page = signed_in.get(HERE).text
    assert "It took the last mail that we handed over." in page
    assert "812.4" in page
    live = signed_in.get(f"{HERE}/live").json()
    assert (live["workers"], live["connections"]) == (1, 24)
    assert live["headline"].startswith("Ready.")


def test_trouble_is_told_with_the_next_try(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        make_worker(session)
        relay = session.get_one(Relay, 1)
        relay.failure_count, relay.last_error = 3, "connection refused <x>"
        relay.last_error_at, relay.retry_at = utc_now(), utc_now() + timedelta(minutes=1)
    page = signed_in.get(HERE).text
    assert "The relay cannot be used: connection refused &lt;x&gt;. It is tried again at" in page
    assert "Failures in a row" in page


def test_the_limit_is_changed_and_the_workers_are_told(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    assert signed_in.post(f"{HERE}/limits", data={"limits": "6,000 a minute, 50,000 a day"}).status_code == 303
    assert nudges == [(queue.DISPATCH,)]
    with session_factory() as session:
        relay = session.get_one(Relay, 1)
        assert relay.limits == (RateLimit(6000, 60), RateLimit(50_000, 86_400))
    assert signed_in.post(f"{HERE}/limits", data={"limits": ""}).status_code == 303
    with session_factory() as session:
        assert session.get_one(Relay, 1).limits == ()


def test_a_slowed_relay_says_to_what_until_when_and_why(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    with session_factory.begin() as session:
        make_worker(session)
        relay = session.get_one(Relay, 1)
        relay.limits = (RateLimit(50, 1), RateLimit(5_000, 3_600))
        relay.slowed_rate, relay.slowed_from, relay.slowed_reason = 12.0, 50.0, "421 4.7.0 too many <messages>"
        relay.slowed_at, relay.slowed_until = utc_now(), utc_now() + timedelta(minutes=10)
    page = signed_in.get(HERE).text
    assert "Slowed to 12 a second, rising until" in page
    assert "because the relay said: 421 4.7.0 too many &lt;messages&gt;." in page
    assert "50 a second, 5,000 an hour" in page
    assert signed_in.post(f"{HERE}/full-speed").status_code == 303
    assert nudges == [(queue.DISPATCH,)]
    assert "Slowed" not in signed_in.get(HERE).text


def test_a_relay_that_is_away_can_be_tried_now(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    assert "/admin/relay/try-now" not in signed_in.get(HERE).text
    assert signed_in.post(f"{HERE}/try-now").status_code == 409
    with session_factory.begin() as session:
        relay = session.get_one(Relay, 1)
        relay.failure_count, relay.retry_at = 3, utc_now() + timedelta(minutes=5)
    assert "/admin/relay/try-now" in signed_in.get(HERE).text
    assert signed_in.post(f"{HERE}/try-now").status_code == 303
    assert nudges == [(queue.DISPATCH,)]
    with session_factory() as session:
        assert (session.get_one(Relay, 1).retry_at or utc_now()) <= utc_now()


def test_a_wrong_limit_stays_typed_beside_its_error(signed_in: TestClient, nudges: Nudges) -> None:
    for typed in ("0 in 77 seconds", "x", "10 a second, 20 a second", "10 a second or so"):
        answer = signed_in.post(f"{HERE}/limits", data={"limits": typed})
        assert answer.status_code == 422
        assert re.findall(r'id="f-(\w+)-error"', answer.text) == ["limits"]
        assert f'value="{typed}"' in answer.text
    assert not nudges


def test_pause_tells_its_reason_and_resume_goes_on(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    assert signed_in.post(f"{HERE}/pause", data={"reason": "new provider"}).status_code == 303
    assert "Paused by Ada: new provider." in signed_in.get(HERE).text
    assert signed_in.post(f"{HERE}/resume").status_code == 303
    assert nudges == [(queue.DISPATCH,)]
    with session_factory() as session:
        assert session.get_one(Relay, 1).state is RelayState.ACTIVE


def test_members_look_and_do_not_touch(signed_in: TestClient, session_factory: SessionFactory, user: User) -> None:
    with session_factory.begin() as session:
        session.get_one(User, user.id).role = Role.MEMBER
    page = signed_in.get(HERE)
    assert page.status_code == 200
    assert "/admin/relay/pause" not in page.text
    for action in ("limits", "pause", "resume", "test", "try-now", "full-speed"):
        assert signed_in.post(f"{HERE}/{action}").status_code == 403


def test_the_password_is_never_shown(app: FastAPI, signed_in: TestClient) -> None:
    secret = "hunter2-never-shown"
    told = {"smtp_username": "shop", "smtp_password": secret}
    app.state.settings = type(app.state.settings)(_env_file=None, **app.state.settings.model_dump() | told)
    page = signed_in.get(HERE).text
    assert "shop" in page
    assert secret not in page
