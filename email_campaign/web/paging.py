"""Keyset pages: a cursor says after which row a page begins, so that page 1,000 costs what page 1 costs."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from email_campaign.errors import Invalid

MAX_LIMIT = 500
MAX_BIGINT = 2**63 - 1

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")


@dataclass(frozen=True, slots=True)
class PageParams:
    """Which page is asked for."""

    limit: int = 50
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Rows(Generic[T]):
    """The rows of a page and the cursors of its neighbours (None where there are no more rows)."""

    items: Sequence[T]
    next: str | None
    previous: str | None


def _page_params(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows per page.")] = 50,
    cursor: Annotated[str, Query(max_length=2000, description="`next` of the page before.")] = "",
) -> PageParams:
    return PageParams(limit=limit, cursor=cursor)


PageDep = Annotated[PageParams, Depends(_page_params)]


def read_page(
    session: Session,
    statement: Select[T],
    keys: Sequence[InstrumentedAttribute[Any]],
    page: PageParams,
    *,
    ascending: bool = False,
) -> Rows[T]:
    """One page of a statement that selects one entity and has no order yet, ordered by `keys`, newest first.

    The last key must be unique (an id), no key may be NULL, and an index on the keys keeps it fast. Raises Invalid
    for a cursor that no page gave out.
    """
    backwards, after = _decode(page.cursor, keys) if page.cursor else (False, None)
    upwards = ascending is not backwards
    if after is not None:
        place, row = tuple_(*after), tuple_(*keys)
        statement = statement.where(row > place if upwards else row < place)
    statement = statement.order_by(*(key.asc() if upwards else key.desc() for key in keys)).limit(page.limit + 1)
    items = list(session.scalars(statement))
    more = len(items) > page.limit
    items = items[: page.limit]
    if backwards:
        items.reverse()
    has_next = bool(items) and (backwards or more)
    has_previous = bool(items) and (more if backwards else after is not None)
    return Rows(
        items,
        next=_encode("next", items[-1], keys) if has_next else None,
        previous=_encode("previous", items[0], keys) if has_previous else None,
    )


def _encode(direction: str, item: Any, keys: Sequence[InstrumentedAttribute[Any]]) -> str:
    values = [getattr(item, key.key) for key in keys]
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps([direction, *plain]).encode()).rstrip(b"=").decode()


def _decode(cursor: str, keys: Sequence[InstrumentedAttribute[Any]]) -> tuple[bool, list[ColumnElement[Any]]]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        direction, *values = json.loads(raw)
        if direction not in {"next", "previous"}:
            raise ValueError(direction)
        after = [_literal(key, value) for key, value in zip(keys, values, strict=True)]
    except (ValueError, TypeError, RecursionError) as error:
        raise Invalid.field(
            "cursor", "This is no cursor of this list; leave it out to begin with the first page."
        ) from error
    return direction == "previous", after


def _literal(key: InstrumentedAttribute[Any], value: object) -> ColumnElement[Any]:
    wanted = key.type.python_type
    if wanted is datetime and isinstance(value, str):
        return literal(datetime.fromisoformat(value), key.type)
    if type(value) is not wanted or (isinstance(value, int) and abs(value) > MAX_BIGINT):
        raise ValueError(value)
    if isinstance(value, str) and "\0" in value:
        raise ValueError(value)
    return literal(value, key.type)
