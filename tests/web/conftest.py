"""The app on the test database, and three clients: nobody, an API token's user, and a signed-in browser."""

import base64
import warnings
from datetime import timedelta

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine
from sqlalchemy.orm import sessionmaker

from email_campaign import queue
from email_campaign.accounts.passwords import hash_again
from email_campaign.accounts.sessions import open_session
from email_campaign.accounts.tokens import create_token
from email_campaign.accounts.users import Role, User
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.settings import Settings
from email_campaign.signing import derive_key, keyed_hash, sign
from email_campaign.web.app import create_app, equip
from tests.factories import make_user

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette's client would rather have the successor of httpx
    from starlette.testclient import TestClient

PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def routes(settings: Settings, engine: Engine) -> FastAPI:
    """An app whose routes are made once, since that takes longer than most tests."""
    return create_app(settings, sessionmaker(engine, expire_on_commit=False))


@pytest.fixture
def app(routes: FastAPI, settings: Settings, session_factory: SessionFactory) -> FastAPI:
    """The app on the test database; what it works with is new. A file that adds routes has `routes` of its own."""
    equip(routes, settings, session_factory)
    return routes


@pytest.fixture(autouse=True)
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What the doors told the queue, as (task name, ids…): routes call `queue.nudge`, and it ends here."""
    told: list[tuple[object, ...]] = []
    monkeypatch.setattr(queue, "nudge", lambda *message: told.append(message))
    return told


@pytest.fixture(scope="session")
def password_hash() -> str:
    """Made once, since it is meant to take long."""
    return hash_again(PASSWORD)


@pytest.fixture
def user(session_factory: SessionFactory, password_hash: str) -> User:
    """An administrator, ada@example.com, with the password of this file."""
    with session_factory.begin() as session:
        made = make_user(session, name="Ada", role=Role.ADMIN)
        made.address, made.password_hash = "ada@example.com", password_hash
        return made


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    """Nobody: no token, no cookie. Redirects are not followed."""
    return _client(app)


@pytest.fixture
def api(app: FastAPI, user: User, session_factory: SessionFactory) -> TestClient:
    """A client that sends the user's API token."""
    with session_factory.begin() as session:
        _, secret = create_token(session, user_id=user.id, name="tests", now=utc_now())
    made = _client(app)
    made.headers["Authorization"] = f"Bearer {secret}"
    return made


@pytest.fixture
def signed_in(app: FastAPI, user: User, settings: Settings, session_factory: SessionFactory) -> TestClient:
    """The user's browser. It sends the CSRF token as a header, so that tests post forms without reading pages."""
    with session_factory.begin() as session:
        token = open_session(session, user_id=user.id, lifetime=timedelta(days=1), now=utc_now())
    secret = settings.secret_key.get_secret_value()
    made = _client(app)
    made.cookies["session"] = sign(derive_key(secret, "session"), token.encode())
    made.headers["X-CSRF-Token"] = base64.urlsafe_b64encode(keyed_hash(derive_key(secret, "csrf"), token)).decode()
    return made


def _client(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
