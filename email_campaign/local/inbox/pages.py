"""The list of mails: search, pages from newest to oldest, read marks, and deleting."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from email_campaign.local.inbox.look import Look
from email_campaign.local.inbox.mail import Mail
from email_campaign.local.inbox.mail_pages import mail_routes
from email_campaign.local.inbox.query import read_query
from email_campaign.local.inbox.reading import has_attachments, summary_of
from email_campaign.local.inbox.search import find

PAGE_ROWS = 50

STATIC_DIR = Path(__file__).parent / "static"
SHARED_STATIC_DIR = Path(__file__).resolve().parents[2] / "web" / "static"
"""The product's own look, taken as files: `local` may not import `web`."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One page of a list that is newest first; positions count from 1."""

    mails: Sequence[Mail]
    total: int
    first: int
    newer: int | None
    older: int | None


def page_routes(look: Look) -> list[Route | Mount]:
    """Every page but those of trouble. What changes more than a read mark is a POST that redirects."""
    pages = _ListPages(look)
    return [
        Route("/", pages.list),
        Route("/poll", pages.poll),
        Route("/mark-all-read", pages.mark_all_read, methods=["POST"]),
        Route("/delete-all", pages.ask_delete_all),
        Route("/delete-all", pages.delete_all, methods=["POST"]),
        *mail_routes(look),
        Mount("/static/shared", StaticFiles(directory=SHARED_STATIC_DIR)),
        Mount("/static", StaticFiles(directory=STATIC_DIR)),
    ]


def cut(mails: Sequence[Mail], query: QueryParams) -> Slice:
    """The page that `before` or `after` (numbers of mails) ask for; the first one when they make no sense."""
    before, after = _number(query, "before"), _number(query, "after")
    first = 0
    if before is not None:
        first = next((position for position, mail in enumerate(mails) if mail.number < before), len(mails))
    elif after is not None:
        newer = next((position for position, mail in enumerate(mails) if mail.number <= after), len(mails))
        first = max(0, newer - PAGE_ROWS)
    shown = mails[first : first + PAGE_ROWS]
    has_older = first + len(shown) < len(mails)
    return Slice(
        shown,
        total=len(mails),
        first=first + 1,
        newer=shown[0].number if shown and first else None,
        older=shown[-1].number if shown and has_older else None,
    )


class _ListPages:
    def __init__(self, look: Look) -> None:
        self._look = look
        self._store = look.store

    def list(self, request: Request) -> Response:
        # Read before the list: a mail that comes between the two is then shown twice as new rather than never.
        changes = self._store.changes
        sought = request.query_params.get("q", "").strip()
        query = read_query(sought)
        mails = self._store.newest()
        found = [] if query.problems else find(mails, query) if sought else mails
        page = cut(found, request.query_params)
        return self._look.page(
            "list",
            status=400 if query.problems else 200,
            rows=[(mail, summary_of(mail), has_attachments(mail)) for mail in page.mails],
            page=page,
            links={"newer": _link(sought, after=page.newer), "older": _link(sought, before=page.older)},
            sought=sought,
            query=query,
            changes=changes,
            held=len(mails),
            unread=self._store.unread,
        )

    def poll(self, _: Request) -> Response:
        return JSONResponse({"changes": self._store.changes, "total": len(self._store)})

    def mark_all_read(self, _: Request) -> Response:
        self._store.mark_all_read()
        return RedirectResponse("/", 303)

    def ask_delete_all(self, _: Request) -> Response:
        return self._look.page("delete_all", held=len(self._store))

    def delete_all(self, _: Request) -> Response:
        self._store.delete_all()
        return RedirectResponse("/", 303)


def _link(sought: str, **position: int | None) -> str | None:
    [(name, number)] = position.items()
    if number is None:
        return None
    return "/?" + urlencode(({"q": sought} if sought else {}) | {name: number})


def _number(query: QueryParams, name: str) -> int | None:
    text = query.get(name, "")
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None
