"""The pages of one mail: its views, the frame that shows its HTML, and its parts to save."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from email_campaign.content.frame import has_dark_style
from email_campaign.local.inbox.checks import check_mail
from email_campaign.local.inbox.frame import for_frame
from email_campaign.local.inbox.guard import DOWNLOAD_POLICY, FRAME_POLICY
from email_campaign.local.inbox.look import Look
from email_campaign.local.inbox.mail import Mail, text_of
from email_campaign.local.inbox.parts import MAX_PARTS, parts_of
from email_campaign.local.inbox.reading import Readable, read, summary_of

SHOWN_CHARACTERS = 500_000
"""Text and source are cut here on the page; the download has everything."""

SHOWN_LINKS = 200


def mail_routes(look: Look) -> list[Route]:
    """Everything under `/mail/`."""
    pages = _MailPages(look)
    return [
        Route("/mail/{id}", pages.mail),
        Route("/mail/{id}/frame", pages.frame),
        Route("/mail/{id}/part/{section}", pages.part),
        Route("/mail/{id}/unread", pages.mark_unread, methods=["POST"]),
        Route("/mail/{id}/delete", pages.delete, methods=["POST"]),
    ]


class _MailPages:
    def __init__(self, look: Look) -> None:
        self._look = look
        self._store = look.store

    def mail(self, request: Request) -> Response:
        mail = self._asked_for(request)
        if mail is None:
            return self._look.gone()
        if _is_opened_by_a_person(request):
            self._store.mark(mail.id, is_read=True)
        readable = read(mail)
        checked = check_mail(mail, readable)
        views = _views(readable)
        view = request.query_params.get("view", "")
        return self._look.page(
            "mail",
            mail=mail,
            summary=summary_of(mail),
            readable=readable,
            checked=checked,
            links=checked.links[:SHOWN_LINKS],
            parts=parts_of(mail),
            max_parts=MAX_PARTS,
            views=views,
            view=view if view in views else next(iter(views)),
            width=_choice(request, "width", ("phone", "desktop")),
            theme=_choice(request, "theme", ("dark",)),
            has_dark_style=has_dark_style(readable.html or ""),
            source=text_of(mail.raw[:SHOWN_CHARACTERS]),
            source_is_cut=len(mail.raw) > SHOWN_CHARACTERS,
            text=(readable.text or "")[:SHOWN_CHARACTERS],
            text_is_cut=len(readable.text or "") > SHOWN_CHARACTERS,
        )

    def frame(self, request: Request) -> Response:
        mail = self._asked_for(request)
        if mail is None:
            return self._look.gone()
        html = for_frame(read(mail), "dark" if _choice(request, "theme", ("dark",)) else "light")
        return HTMLResponse(html, headers={"content-security-policy": FRAME_POLICY})

    def part(self, request: Request) -> Response:
        mail = self._asked_for(request)
        section = request.path_params["section"]
        part = next((part for part in (parts_of(mail) if mail else ()) if part.section == section), None)
        if part is None or part.content is None:
            return self._look.gone()
        # Never shown by the browser itself: a part may be HTML or SVG with a script in it.
        disposition = f"attachment; filename*=UTF-8''{quote(part.file_name, safe='')}"
        headers = {
            "content-type": "application/octet-stream",
            "content-disposition": disposition,
            "content-security-policy": DOWNLOAD_POLICY,
        }
        return Response(part.content, headers=headers)

    def mark_unread(self, request: Request) -> Response:
        self._store.mark(request.path_params["id"], is_read=False)
        return RedirectResponse("/", 303)

    def delete(self, request: Request) -> Response:
        self._store.delete(request.path_params["id"])
        return RedirectResponse("/", 303)

    def _asked_for(self, request: Request) -> Mail | None:
        return self._store.get(request.path_params["id"])


def _views(readable: Readable) -> dict[str, str]:
    """The tabs that this mail has, the best one to read first."""
    views = {"html": "HTML"} if readable.html is not None else {}
    if readable.text is not None or readable.html is None:
        views["text"] = "Text"
    return views | {"checks": "Checks", "parts": "Parts", "headers": "Headers", "source": "Source"}


def _choice(request: Request, name: str, known: tuple[str, ...]) -> str:
    value = request.query_params.get(name, "")
    return value if value in known else ""


def _is_opened_by_a_person(request: Request) -> bool:
    """A browser that fetches ahead, or a program that asks for the head only, has read nothing."""
    return request.method == "GET" and "prefetch" not in request.headers.get("sec-purpose", "")
