"""Sessions and the throttle on sign-ins."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from email_campaign.accounts.sessions import (
    Attempt,
    SignInSession,
    TooManySignIns,
    end_other_sessions,
    end_session,
    find_session,
    list_sessions,
    open_session,
    purge,
    sign_in,
    sign_out,
)
from email_campaign.accounts.throttle import SignInFailure
from email_campaign.accounts.throttle import purge as purge_throttle
from email_campaign.accounts.users import Role, User, create_user, disable
from email_campaign.db import SessionFactory
from email_campaign.errors import Invalid, NotFound
from email_campaign.settings import Settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD = "correct horse battery"
LIMIT = 10


@pytest.fixture
def user(session_factory: SessionFactory) -> User:
    with session_factory.begin() as session:
        return create_user(session, address="ada@example.com", name="Ada", password=PASSWORD, role=Role.ADMIN, now=NOW)


def _attempt(password: str = PASSWORD, *, address: str = "ada@example.com", client: str = "192.0.2.1") -> Attempt:
    return Attempt(address=address, password=password, client=client)


def _fail(factory: SessionFactory, settings: Settings, attempt: Attempt, *, times: int, now: datetime = NOW) -> None:
    for _ in range(times):
        with pytest.raises(Invalid):
            sign_in(factory, settings, attempt, now)


def test_a_session_lasts_for_the_days_of_the_setting(
    session_factory: SessionFactory, settings: Settings, user: User
) -> None:
    token = sign_in(session_factory, settings, _attempt(), NOW)
    with session_factory() as session:
        assert token.encode() not in session.scalars(select(SignInSession.token_hash)).one()
        found = find_session(session, token=token, now=NOW + timedelta(days=settings.session_days, seconds=-1))
        assert found is not None
        assert (found[1].id, found[1].last_sign_in_at) == (user.id, NOW)
        assert find_session(session, token=token, now=NOW + timedelta(days=settings.session_days)) is None
        assert find_session(session, token=token + "x", now=NOW) is None


def test_a_session_is_seen_once_a_minute(session: Session, user: User) -> None:
    token = open_session(session, user_id=user.id, lifetime=timedelta(days=1), now=NOW)
    session.flush()
    for later, seen in ((59, 0), (61, 61)):
        found = find_session(session, token=token, now=NOW + timedelta(seconds=later))
        assert found is not None
        assert found[0].last_seen_at == NOW + timedelta(seconds=seen)


def test_the_session_of_a_disabled_user_is_over(session: Session, user: User) -> None:
    token = open_session(session, user_id=user.id, lifetime=timedelta(days=1), now=NOW)
    disable(session.get_one(User, user.id), now=NOW)
    session.flush()
    assert find_session(session, token=token, now=NOW) is None


def test_sessions_can_be_listed_and_ended_by_their_user_only(session: Session, user: User) -> None:
    tokens = [open_session(session, user_id=user.id, lifetime=timedelta(days=1), now=NOW) for _ in range(3)]
    session.flush()
    newest, middle, oldest = session.scalars(list_sessions(user.id, NOW)).all()
    with pytest.raises(NotFound):
        end_session(session, user_id=user.id + 1, session_id=newest.id)
    end_session(session, user_id=user.id, session_id=newest.id)
    end_other_sessions(session, user_id=user.id, keep_id=middle.id)
    assert [found.id for found in session.scalars(list_sessions(user.id, NOW))] == [middle.id]
    sign_out(session, token=tokens[1])
    assert session.scalars(list_sessions(user.id, NOW)).all() == []
    assert oldest.id


def test_a_wrong_password_says_no_more_than_a_wrong_address(
    session_factory: SessionFactory, settings: Settings, user: User
) -> None:
    said = set()
    for attempt in (_attempt("wrong"), _attempt(address="bob@example.com"), _attempt(address="nonsense")):
        with pytest.raises(Invalid) as caught:
            sign_in(session_factory, settings, attempt, NOW)
        said.add((caught.value.message, caught.value.problems))
    assert len(said) == 1


def test_after_too_many_failures_the_right_password_waits_too(
    session_factory: SessionFactory, settings: Settings, user: User
) -> None:
    for number in range(LIMIT):
        attempt = _attempt("wrong", address="ADA@example.com", client=f"192.0.2.{number}")
        _fail(session_factory, settings, attempt, times=1, now=NOW + timedelta(seconds=number))
    with pytest.raises(TooManySignIns, match=r"12:16 UTC") as caught:
        sign_in(session_factory, settings, _attempt(client="192.0.2.99"), NOW + timedelta(seconds=30))
    assert caught.value.retry_at == NOW + timedelta(minutes=15)
    assert sign_in(session_factory, settings, _attempt(), NOW + timedelta(minutes=15))


def test_a_client_that_guesses_at_many_addresses_waits(
    session_factory: SessionFactory, settings: Settings, user: User
) -> None:
    for number in range(LIMIT):
        attempt = _attempt("wrong", address=f"user{number}@example.com", client=f"2001:db8::{number:x}")
        _fail(session_factory, settings, attempt, times=1)
    with pytest.raises(TooManySignIns):
        sign_in(session_factory, settings, _attempt(client="2001:db8::ffff"), NOW)
    assert sign_in(session_factory, settings, _attempt(client="2001:db8:1::1"), NOW)


def test_a_refused_attempt_does_not_prolong_the_wait(
    session_factory: SessionFactory, settings: Settings, user: User
) -> None:
    _fail(session_factory, settings, _attempt("wrong"), times=LIMIT)
    for minute in range(1, 15):
        with pytest.raises(TooManySignIns) as caught:
            sign_in(session_factory, settings, _attempt("wrong"), NOW + timedelta(minutes=minute))
        assert caught.value.retry_at == NOW + timedelta(minutes=15)
    assert sign_in(session_factory, settings, _attempt(), NOW + timedelta(minutes=15))


def test_a_success_forgets_the_failures_of_the_address_and_not_those_of_the_client(
    session_factory: SessionFactory, settings: Settings, user: User
) -> None:
    _fail(session_factory, settings, _attempt("wrong"), times=LIMIT - 1)
    sign_in(session_factory, settings, _attempt(), NOW)
    _fail(session_factory, settings, _attempt("wrong"), times=1)
    with pytest.raises(TooManySignIns):
        sign_in(session_factory, settings, _attempt(), NOW)
    assert sign_in(session_factory, settings, _attempt(client="198.51.100.1"), NOW)


def test_attempts_that_arrive_together_are_counted_too(
    session_factory: SessionFactory, settings: Settings, user: User
) -> None:
    def attempt(_number: int) -> type[Exception]:
        try:
            sign_in(session_factory, settings, _attempt("wrong"), NOW)
        except (Invalid, TooManySignIns) as error:
            return type(error)
        raise AssertionError

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(3 * LIMIT)))
    assert answers.count(Invalid) <= LIMIT
    assert TooManySignIns in answers


def test_what_is_over_is_purged(session_factory: SessionFactory, settings: Settings, user: User) -> None:
    _fail(session_factory, settings, _attempt("wrong"), times=1)
    token = sign_in(session_factory, settings, _attempt(client="198.51.100.1"), NOW)
    later = NOW + timedelta(minutes=15)
    with session_factory.begin() as session:
        purge(session, now=later)
        purge_throttle(session, now=later)
        assert session.scalar(select(func.count()).select_from(SignInFailure)) == 0
        assert find_session(session, token=token, now=later)
        purge(session, now=NOW + timedelta(days=settings.session_days))
        assert session.scalar(select(func.count()).select_from(SignInSession)) == 0
