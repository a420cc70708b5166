"""What the lists of the pages have in common: how many rows there are, and where a page stands among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Select, func, literal, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session
from starlette.requests import Request

from email_campaign.web.formatting import number
from email_campaign.web.paging import PageParams, read_page

COUNTED = 1_000_000
"""Rows are counted up to here (some 60 ms by an index); beyond it the page says "more than"."""
COUNTED_FILTERED = 20_000
"""What a search finds is counted up to here only: each row must be read for it."""
PLACED = 100_000
"""The place of a page among the rows is counted up to here; further down only their number is said."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """One page of rows. `matching` counts all of them; `matching_words` is that number, or "more than …"."""

    items: Sequence[T]
    matching: int
    matching_words: str
    position: str
    newer_url: str
    older_url: str


def read_listing(
    request: Request,
    session: Session,
    statement: Select[T],
    keys: Sequence[InstrumentedAttribute[Any]],
    page: PageParams,
    *,
    is_filtered: bool = False,
    ascending: bool = False,
    known: int | None = None,
) -> Listing[T]:
    """The page of `read_page` with what stands around it: its place in words and the addresses of its neighbours.

    `known` is how many rows match, where the caller has counted them already.
    """
    rows = read_page(session, statement, keys, page, ascending=ascending)
    most = COUNTED_FILTERED if is_filtered else COUNTED
    matching = known if known is not None else len(rows.items)
    if known is None and (rows.next or rows.previous):
        matching = _count(session, statement, keys, most)
    words = number(matching) if known is not None or matching <= most else f"more than {number(most)}"
    before = 0
    if rows.previous:
        before = _count(session, statement.where(_before(rows.items[0], keys, ascending=ascending)), keys, PLACED)
    position = f"{number(before + 1)}–{number(before + len(rows.items))} of {words}" if rows.items else ""
    return Listing(
        items=rows.items,
        matching=matching,
        matching_words=words,
        position=position if before <= PLACED else f"{number(len(rows.items))} of {words}",
        newer_url=_url(request, rows.previous),
        older_url=_url(request, rows.next),
    )


def _before(item: Any, keys: Sequence[InstrumentedAttribute[Any]], *, ascending: bool) -> ColumnElement[bool]:
    row, place = tuple_(*keys), tuple_(*(literal(getattr(item, key.key), key.type) for key in keys))
    return row < place if ascending else row > place


def _count(session: Session, statement: Select[Any], keys: Sequence[InstrumentedAttribute[Any]], most: int) -> int:
    rows = statement.with_only_columns(*keys, maintain_column_froms=True).limit(most + 1).subquery()
    return session.scalar(select(func.count()).select_from(rows)) or 0


def _url(request: Request, cursor: str | None) -> str:
    if cursor is None:
        return ""
    others = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f"{request.url.path}?{urlencode([*others, ('cursor', cursor)])}"
