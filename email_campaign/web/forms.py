"""Forms: what a browser posted as text, and the proof that it came from a page of ours (CSRF)."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import Depends
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from email_campaign.settings import Settings
from email_campaign.web import cookies

CSRF_FIELD = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"
MOST_DIGITS = 18

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


class Form:
    """The fields of a posted form. A field that was not sent is an empty text, as an unticked box is."""

    def __init__(self, fields: FormData) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        """The field's text without surrounding blanks."""
        return self.raw(name).strip()

    def raw(self, name: str) -> str:
        """The field's text as it was typed: for passwords and for contents of mails."""
        value = self._fields.get(name, "")
        return value if isinstance(value, str) else ""

    def all(self, name: str) -> list[str]:
        """Every value of a field that may be sent more than once, such as a row of boxes."""
        return [value for value in self._fields.getlist(name) if isinstance(value, str)]

    def file(self, name: str) -> UploadFile | None:
        """The uploaded file, or None where nothing was chosen. It is closed after the request."""
        value = self._fields.get(name)
        return value if isinstance(value, UploadFile) and value.filename else None

    def files(self, name: str) -> list[UploadFile]:
        """Every file of a field that takes more than one. They are closed after the request."""
        return [value for value in self._fields.getlist(name) if isinstance(value, UploadFile) and value.filename]

    def with_all(self, name: str, values: Sequence[str]) -> "Form":
        """The form as if these had been the values of a field."""
        others = [(key, value) for key, value in self._fields.multi_items() if key != name]
        return Form(FormData([*others, *((name, value) for value in values)]))

    def shown(self) -> dict[str, str | list[str]]:
        """What a refused form shows again: every text but the secret ones; a list where a field was sent repeatedly."""
        names = [name for name in self._fields if name != CSRF_FIELD and "password" not in name]
        return {name: texts[0] if len(texts := self.all(name)) == 1 else texts for name in names}


def whole_number(text: str) -> int | None:
    """The number in a field, such as the id of a row; None for anything else, and for more digits than a column has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None


async def read_form(request: Request) -> AsyncIterator[Form]:
    """The posted form of this request; empty for a request that only reads. 403 without the page's CSRF token.

    It stands before every page route (see app.py), so that none can forget it.
    """
    if request.method in _READING:
        yield Form(FormData())
        return
    # A browser says so itself where another site sent the form, also one under the same parent domain.
    if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        raise HTTPException(403, "This form was sent by another site. Open the page here and send it again.")
    settings: Settings = request.app.state.settings
    if request.headers.get("Content-Type", "").lower().startswith(_FORM_TYPES):
        async with request.form(max_part_size=settings.request_max_bytes) as fields:
            form = Form(fields)
            _check_csrf(request, form)
            yield form
    else:
        _check_csrf(request, Form(FormData()))
        yield Form(FormData())


FormDep = Annotated[Form, Depends(read_form)]


def _check_csrf(request: Request, form: Form) -> None:
    token = request.headers.get(CSRF_HEADER) or form.raw(CSRF_FIELD)
    if not cookies.is_csrf_token(request, token):
        raise HTTPException(
            403, "The page that this form was on is out of date: load it again, and send the form from there."
        )
