"""API tokens."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from email_campaign.accounts.tokens import authenticate_token, create_token, list_tokens, revoke_token
from email_campaign.accounts.users import Role, User, create_user, disable
from email_campaign.errors import Invalid, NotFound

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def user(session: Session) -> User:
    return create_user(
        session, address="ada@example.com", name="Ada", password="correct horse battery", role=Role.ADMIN, now=NOW
    )


def test_a_token_is_its_users_and_its_secret_is_nowhere_in_the_row(session: Session, user: User) -> None:
    token, secret = create_token(session, user_id=user.id, name=" nightly ", now=NOW)
    assert re.fullmatch(r"ec_[A-Za-z0-9_-]{40}", secret)
    assert (token.name, token.prefix) == ("nightly", secret[:9])
    assert secret.encode() not in token.token_hash
    assert authenticate_token(session, token=secret, now=NOW) is user


def test_anything_but_the_whole_secret_is_refused(session: Session, user: User) -> None:
    _, secret = create_token(session, user_id=user.id, name="nightly", now=NOW)
    for wrong in ("", secret[:-1], secret + " ", secret.lower(), "ec_\0", "é"):
        assert authenticate_token(session, token=wrong, now=NOW) is None


def test_the_last_use_is_written_once_a_minute(session: Session, user: User) -> None:
    token, secret = create_token(session, user_id=user.id, name="nightly", now=NOW)
    for later, used in ((0, 0), (59, 0), (60, 60)):
        authenticate_token(session, token=secret, now=NOW + timedelta(seconds=later))
        assert token.last_used_at == NOW + timedelta(seconds=used)


def test_a_revoked_token_is_refused_and_can_be_revoked_by_its_user_only(session: Session, user: User) -> None:
    token, secret = create_token(session, user_id=user.id, name="nightly", now=NOW)
    with pytest.raises(NotFound):
        revoke_token(session, user_id=user.id + 1, token_id=token.id, now=NOW)
    revoke_token(session, user_id=user.id, token_id=token.id, now=NOW)
    assert authenticate_token(session, token=secret, now=NOW) is None
    assert session.scalars(list_tokens(user.id)).all() == []
    with pytest.raises(NotFound):
        revoke_token(session, user_id=user.id, token_id=token.id, now=NOW)


def test_the_token_of_a_disabled_user_is_refused(session: Session, user: User) -> None:
    _, secret = create_token(session, user_id=user.id, name="nightly", now=NOW)
    disable(user, now=NOW)
    assert authenticate_token(session, token=secret, now=NOW) is None


@pytest.mark.parametrize("name", ["", "   ", "x" * 101])
def test_a_token_needs_a_name(session: Session, user: User, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        create_token(session, user_id=user.id, name=name, now=NOW)
    assert caught.value.problems[0].field == "name"
