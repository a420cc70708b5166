"""Keyset pages."""

import base64
import json
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from email_campaign.accounts.users import Role, User
from email_campaign.errors import Invalid
from email_campaign.web.paging import PageParams, read_page

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = [User.created_at, User.id]


@pytest.fixture
def many(session: Session) -> list[int]:
    """Seven users, some of them made in the same instant; their ids, the newest first."""
    for number in range(7):
        made = NOW + timedelta(microseconds=number // 3)
        user = User(address=f"u{number}@example.com", name="U", password_hash="", role=Role.MEMBER, created_at=made)
        session.add(user)
    session.flush()
    return list(session.scalars(select(User.id).order_by(User.created_at.desc(), User.id.desc())))


def _walk(session: Session, *, limit: int, ascending: bool = False) -> list[list[int]]:
    pages, cursor = [], ""
    while True:
        rows = read_page(session, select(User), KEYS, PageParams(limit, cursor), ascending=ascending)
        pages.append([user.id for user in rows.items])
        if rows.next is None:
            return pages
        cursor = rows.next


def test_pages_have_every_row_once(session: Session, many: list[int]) -> None:
    for limit in (1, 2, 3, 7, 50):
        pages = _walk(session, limit=limit)
        assert list(chain(*pages)) == many
        assert all(pages)
        assert list(chain(*_walk(session, limit=limit, ascending=True))) == many[::-1]


def test_a_page_leads_back_to_the_one_before(session: Session, many: list[int]) -> None:
    first = read_page(session, select(User), KEYS, PageParams(3))
    assert first.previous is None
    second = read_page(session, select(User), KEYS, PageParams(3, first.next or ""))
    back = read_page(session, select(User), KEYS, PageParams(3, second.previous or ""))
    assert [user.id for user in back.items] == many[:3]
    assert (back.next, back.previous) == (first.next, None)


def test_rows_that_come_and_go_between_pages_do_not_shift_them(session: Session, many: list[int]) -> None:
    first = read_page(session, select(User), KEYS, PageParams(3))
    session.add(
        User(address="new@example.com", name="N", password_hash="", role=Role.MEMBER, created_at=NOW + timedelta(1))
    )
    session.delete(session.get_one(User, many[2]))
    session.flush()
    second = read_page(session, select(User), KEYS, PageParams(3, first.next or ""))
    assert [user.id for user in second.items] == many[3:6]


def test_an_empty_list_is_one_page(session: Session) -> None:
    rows = read_page(session, select(User), KEYS, PageParams())
    assert (rows.items, rows.next, rows.previous) == ([], None, None)


def _cursor(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "é",
        "AAAA",
        _cursor(7),
        _cursor({}),
        _cursor([]),
        _cursor(["next"]),
        _cursor(["sideways", "2026-03-01T12:00:00+00:00", 1]),
        _cursor(["next", "2026-03-01T12:00:00+00:00", "1"]),
        _cursor(["next", "2026-03-01T12:00:00+00:00", 2**70]),
        _cursor(["next", "2026-03-01T12:00:00+00:00", True]),
        _cursor(["next", "yesterday", 1]),
        _cursor(["next", 5, 1]),
        _cursor([[], "2026-03-01T12:00:00+00:00", 1]),
        base64.urlsafe_b64encode(b"[" * 1_400).decode(),
    ],
)
def test_a_cursor_that_no_page_gave_out_is_named(session: Session, cursor: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_page(session, select(User), KEYS, PageParams(10, cursor))
    assert [problem.field for problem in caught.value.problems] == ["cursor"]


def test_limit_and_cursor_are_checked_at_the_door(api: TestClient) -> None:
    for query, field in (({"limit": 0}, "limit"), ({"limit": 501}, "limit"), ({"cursor": "x"}, "cursor")):
        answer = api.get("/api/v1/tokens", params=query)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == field
