"""What routes ask for: the database session, settings, time, who asks, and from where.

A route commits itself (`session.commit()`), then nudges; what it did not commit is rolled back.
"""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request

from email_campaign.accounts.sessions import SignInSession, find_session
from email_campaign.accounts.tokens import authenticate_token
from email_campaign.accounts.users import Role, User
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.throttle_requests import WINDOW_SECONDS, RequestLimit
from email_campaign.errors import NotAllowed
from email_campaign.settings import Settings
from email_campaign.signing import token_hash
from email_campaign.web import cookies

_bearer = HTTPBearer(auto_error=False, description="An API token, made on the settings page: `ec_…`")


class SignInNeeded(Exception):
    """A page was asked for without a session; the answer leads to the sign-in form."""


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _factory(request: Request) -> SessionFactory:
    factory: SessionFactory = request.app.state.session_factory
    return factory


SettingsDep = Annotated[Settings, Depends(_settings)]
FactoryDep = Annotated[SessionFactory, Depends(_factory)]
NowDep = Annotated[datetime, Depends(utc_now)]
PathId = Annotated[int, Path(ge=1, le=2**63 - 1)]
"""The id of a row in a path; what no row can have is answered with 404."""


def _session(factory: FactoryDep) -> Iterator[Session]:
    with factory() as session:
        yield session


# Closed before the answer is sent: a slow reader must not hold a connection of the pool.
SessionDep = Annotated[Session, Depends(_session, scope="function")]


def _client(request: Request) -> str:
    return request.client.host if request.client else "unknown"


ClientDep = Annotated[str, Depends(_client)]
"""The IP address that asks; behind a proxy uvicorn takes it from X-Forwarded-For, see its --forwarded-allow-ips."""


def api_user(
    request: Request,
    session: SessionDep,
    now: NowDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> User:
    """The user of the bearer token; 401 otherwise (RFC 6750), and 429 where it asks too often."""
    if credentials is None:
        raise HTTPException(
            401,
            "Send an API token in the header `Authorization: Bearer ec_…`; one is made on the settings page.",
            headers={"WWW-Authenticate": 'Bearer realm="email-campaign"'},
        )
    user = authenticate_token(session, token=credentials.credentials, now=now)
    if user is None:
        raise HTTPException(
            401,
            "The API token is unknown or was revoked.",
            headers={"WWW-Authenticate": 'Bearer realm="email-campaign", error="invalid_token"'},
        )
    _keep_last_use(session)
    request.state.is_known = True
    _count_request(request, credentials.credentials)
    return user


ApiUser = Annotated[User, Depends(api_user)]


def refuse_stranger(request: Request) -> None:
    """Raises 401 for a request of the API that was refused before anybody asked for its token.

    FastAPI reads a body first, and what is wrong with it is nothing to tell a stranger.
    """
    if not request.url.path.startswith("/api/") or getattr(request.state, "is_known", False):
        return
    scheme, token = get_authorization_scheme_param(request.headers.get("Authorization"))
    given = HTTPAuthorizationCredentials(scheme=scheme, credentials=token) if scheme.lower() == "bearer" else None
    with _factory(request)() as session:
        api_user(request, session, utc_now(), given if token else None)


def _api_admin(user: ApiUser) -> User:
    return _only_admin(user)


AdminApiUser = Annotated[User, Depends(_api_admin)]


def _page_session(request: Request, session: SessionDep, now: NowDep) -> SignInSession:
    token = cookies.session_token(request)
    found = find_session(session, token=token, now=now) if token else None
    if found is None:
        raise SignInNeeded
    _keep_last_use(session)
    request.state.sign_in_session, request.state.user = found
    return found[0]


PageSession = Annotated[SignInSession, Depends(_page_session)]


def page_user(request: Request, _found: PageSession) -> User:
    """The user of the session cookie; a browser without one is sent to the sign-in form."""
    user: User = request.state.user
    return user


PageUser = Annotated[User, Depends(page_user)]


def _page_admin(user: PageUser) -> User:
    return _only_admin(user)


AdminPageUser = Annotated[User, Depends(_page_admin)]


def _only_admin(user: User) -> User:
    if user.role is not Role.ADMIN:
        raise NotAllowed("This needs an administrator.")
    return user


def _count_request(request: Request, token: str) -> None:
    """Raises 429 beyond the token's limit. Every answer says what is left (draft-ietf-httpapi-ratelimit-headers)."""
    limit: RequestLimit = request.app.state.request_limit
    # By its hash: the broker is told no secret, and an id may come again in a database that was restored.
    quota = limit.count(token_hash(token).hex())
    if quota is None:
        return
    seconds = max(1, math.ceil(quota.reset_seconds))
    request.state.answer_headers = {
        "RateLimit-Policy": f'"token";q={quota.limit};w={WINDOW_SECONDS}',
        "RateLimit": f'"token";r={quota.remaining};t={seconds}',
    }
    if quota.is_exceeded:
        raise HTTPException(
            429,
            f"This token has made its {quota.limit:,} requests of this minute (API_RATE_PER_MINUTE). "
            f"Ask again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )


def _keep_last_use(session: Session) -> None:
    """Commit at once: the row of a busy token must not stay locked for as long as its request lasts.

    Also where nothing was changed, since it gives the connection back: requests that hold one while they wait for a
    thread, and threads that wait for a connection, would wait for each other.
    """
    session.commit()
