"""The pages on which people read the mail: the list with search, one mail with its tabs, and deleting."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from email_campaign.local.inbox.guard import DOWNLOAD_POLICY, FRAME_POLICY
from email_campaign.local.inbox.mail import Mail, text_of
from email_campaign.local.inbox.reading import Readable, for_frame, read, summary_of
from email_campaign.local.inbox.search import search_anywhere
from email_campaign.local.inbox.store import Store

PAGE_ROWS = 50
SHOWN_CHARACTERS = 500_000
"""Text and source are cut here on the page; the download has everything."""

STATIC_DIR = Path(__file__).parent / "static"
SHARED_STATIC_DIR = Path(__file__).resolve().parents[2] / "web" / "static"
"""The product's own look, taken as files: `local` may not import `web`."""

TEMPLATES_DIR = Path(__file__).resolve().parents[3] / "templates"


@dataclass(frozen=True, slots=True)
class Slice:
    """One page of a list that is newest first; positions count from 1."""

    mails: Sequence[Mail]
    total: int
    first: int
    newer: int | None
    older: int | None


def page_routes(store: Store, smtp_address: str) -> list[Route | Mount]:
    """Every page. Reading changes nothing; what changes something is a POST that redirects."""
    pages = _Pages(store, smtp_address)
    return [
        Route("/", pages.list),
        Route("/poll", pages.poll),
        Route("/delete-all", pages.ask_delete_all),
        Route("/delete-all", pages.delete_all, methods=["POST"]),
        Route("/mail/{id}", pages.mail),
        Route("/mail/{id}/frame", pages.frame),
        Route("/mail/{id}/attachment/{number:int}", pages.attachment),
        Route("/mail/{id}/delete", pages.delete, methods=["POST"]),
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


def size_in_words(count: int) -> str:
    """Bytes as people say them: 812 B, 6.1 kB, 1.5 MB."""
    if count < 1_000:
        return f"{count} B"
    return f"{count / 1_000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def mail_path(mail: Mail) -> str:
    """Where a mail is read. Ids hold `=` and `@`, which are lawful in a path."""
    return f"/mail/{quote(mail.id, safe='=@')}"


class _Pages:
    def __init__(self, store: Store, smtp_address: str) -> None:
        self._store = store
        self._smtp_address = smtp_address
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES_DIR), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._environment.filters["size"] = size_in_words
        self._environment.filters["number"] = lambda count: f"{count:,}"
        self._environment.filters["path"] = mail_path

    def list(self, request: Request) -> Response:
        # Read before the list: a mail that comes between the two is then shown twice as new rather than never.
        changes = self._store.changes
        sought = request.query_params.get("q", "").strip()
        mails = self._store.newest()
        page = cut(search_anywhere(mails, sought) if sought else mails, request.query_params)
        rows = [(mail, summary_of(mail)) for mail in page.mails]
        links = {"newer": _link(sought, after=page.newer), "older": _link(sought, before=page.older)}
        return self._page("list", rows=rows, page=page, links=links, sought=sought, changes=changes, held=len(mails))

    def poll(self, _: Request) -> Response:
        return JSONResponse({"changes": self._store.changes, "total": len(self._store)})

    def mail(self, request: Request) -> Response:
        mail = self._asked_for(request)
        if mail is None:
            return self._gone()
        readable = read(mail)
        views = _views(readable)
        view = request.query_params.get("view", "")
        return self._page(
            "mail",
            mail=mail,
            summary=summary_of(mail),
            readable=readable,
            views=views,
            view=view if view in views else next(iter(views)),
            width="phone" if request.query_params.get("width") == "phone" else "desktop",
            source=text_of(mail.raw[:SHOWN_CHARACTERS]),
            source_is_cut=len(mail.raw) > SHOWN_CHARACTERS,
            text=(readable.text or "")[:SHOWN_CHARACTERS],
            text_is_cut=len(readable.text or "") > SHOWN_CHARACTERS,
        )

    def frame(self, request: Request) -> Response:
        mail = self._asked_for(request)
        if mail is None:
            return self._gone()
        return HTMLResponse(for_frame(read(mail)), headers={"content-security-policy": FRAME_POLICY})

    def attachment(self, request: Request) -> Response:
        mail = self._asked_for(request)
        attachments = read(mail).attachments if mail else ()
        number = request.path_params["number"]
        if number >= len(attachments):
            return self._gone()
        part = attachments[number]
        # Never shown by the browser itself: an attachment may be HTML or SVG with a script in it.
        disposition = f"attachment; filename*=UTF-8''{quote(part.name, safe='')}"
        headers = {
            "content-type": "application/octet-stream",
            "content-disposition": disposition,
            "content-security-policy": DOWNLOAD_POLICY,
        }
        return Response(part.content, headers=headers)

    def delete(self, request: Request) -> Response:
        self._store.delete(request.path_params["id"])
        return RedirectResponse("/", 303)

    def ask_delete_all(self, _: Request) -> Response:
        return self._page("delete_all", held=len(self._store))

    def delete_all(self, _: Request) -> Response:
        self._store.delete_all()
        return RedirectResponse("/", 303)

    def _asked_for(self, request: Request) -> Mail | None:
        return self._store.get(request.path_params["id"])

    def _gone(self) -> Response:
        return self._page("gone", status=404)

    def _page(self, name: str, status: int = 200, **context: Any) -> Response:
        template = self._environment.get_template(f"inbox/{name}.html")
        return HTMLResponse(template.render(store=self._store, smtp_address=self._smtp_address, **context), status)


def _views(readable: Readable) -> dict[str, str]:
    """The tabs that this mail has, the best one to read first."""
    views = {"html": "HTML"} if readable.html is not None else {}
    if readable.text is not None or readable.html is None:
        views["text"] = "Text"
    views |= {"headers": "Headers", "source": "Source"}
    if readable.attachments:
        views["attachments"] = f"Attachments ({len(readable.attachments)})"
    return views


def _link(sought: str, **position: int | None) -> str | None:
    [(name, number)] = position.items()
    if number is None:
        return None
    return "/?" + urlencode(({"q": sought} if sought else {}) | {name: number})


def _number(query: QueryParams, name: str) -> int | None:
    text = query.get(name, "")
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None
