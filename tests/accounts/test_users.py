"""Users and their passwords."""

from datetime import UTC, datetime

import pytest
from argon2 import PasswordHasher
from sqlalchemy.orm import Session

from email_campaign.accounts import passwords
from email_campaign.accounts.users import Role, User, authenticate, change_password, create_user, disable
from email_campaign.errors import Conflict, Invalid

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD = "correct horse battery"


def _user(session: Session, *, address: str = "Ada@Example.com", name: str = " Ada ", password: str = PASSWORD) -> User:
    return create_user(session, address=address, name=name, password=password, role=Role.MEMBER, now=NOW)


def test_a_new_user_has_a_normalised_address_and_no_readable_password(session: Session) -> None:
    user = _user(session)
    assert (user.id, user.address, user.name) == (user.id, "ada@example.com", "Ada")
    assert user.password_hash.startswith("$argon2id$")


@pytest.mark.parametrize(
    ("field", "wrong"), [("address", "ada@"), ("name", "  "), ("password", "short"), ("password", "x" * 1001)]
)
def test_a_wrong_field_of_a_new_user_is_named(session: Session, field: str, wrong: str) -> None:
    with pytest.raises(Invalid) as caught:
        _user(session, **{field: wrong})
    assert [problem.field for problem in caught.value.problems] == [field]


def test_an_address_has_one_user_and_the_transaction_goes_on(session: Session) -> None:
    _user(session)
    with pytest.raises(Conflict, match=r"ada@example\.com"):
        _user(session, address="ADA@example.com")
    assert _user(session, address="bob@example.com").id


def test_only_the_right_password_authenticates(session: Session) -> None:
    user = _user(session)
    assert authenticate(session, address="ADA@example.com", password=PASSWORD) is user
    assert authenticate(session, address="ada@example.com", password=PASSWORD + " ") is None
    assert authenticate(session, address="bob@example.com", password=PASSWORD) is None
    assert authenticate(session, address="no address", password=PASSWORD) is None
    assert authenticate(session, address="ada@example.com", password="x" * 100_000) is None


def test_an_address_that_nobody_has_costs_a_hash_too(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []

    class Watched(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]  # noqa: A002
            looked_at.append(str(hash))
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "_HASHER", Watched(time_cost=1, memory_cost=8, parallelism=1))
    assert authenticate(session, address="nobody@example.com", password=PASSWORD) is None
    assert [text.split("$")[1] for text in looked_at] == ["argon2id"]


def test_nobodys_password_is_no_password(session: Session) -> None:
    assert authenticate(session, address="nobody@example.com", password="nobody has this password") is None


def test_a_password_hashed_with_weaker_settings_is_hashed_again(session: Session) -> None:
    user = _user(session)
    user.password_hash = weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    assert authenticate(session, address="ada@example.com", password=PASSWORD) is user
    assert user.password_hash != weak
    assert authenticate(session, address="ada@example.com", password=PASSWORD) is user


def test_a_disabled_user_does_not_authenticate(session: Session) -> None:
    user = _user(session)
    disable(user, now=NOW)
    assert authenticate(session, address="ada@example.com", password=PASSWORD) is None


def test_a_password_is_changed_by_who_knows_it(session: Session) -> None:
    user = _user(session)
    with pytest.raises(Invalid) as caught:
        change_password(user, current="wrong", new="another long password")
    assert caught.value.problems[0].field == "current_password"
    with pytest.raises(Invalid) as caught:
        change_password(user, current=PASSWORD, new="short")
    assert caught.value.problems[0].field == "new_password"
    change_password(user, current=PASSWORD, new="another long password")
    assert authenticate(session, address="ada@example.com", password="another long password") is user
