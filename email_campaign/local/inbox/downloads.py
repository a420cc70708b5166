"""A mail or one of its parts as a file, with the headers that MailHog gives it.

Where MailHog drops the connection (no such mail or part), this answers 404. A part's headers become headers of the
answer as in MailHog, but for those with which a mail could act on a browser or on a proxy before us: no cookies, no
redirects, no policies, no lengths. A download of a mail has its header lines in the order in which they came.
"""

import re

from starlette.requests import Request
from starlette.responses import Response

from email_campaign.local.inbox.answers import not_found
from email_campaign.local.inbox.mail import Content, Mail, decoded_part, parse, to_eml
from email_campaign.local.inbox.store import Store

SNIFFED_BYTES = 512

_HARMLESS = re.compile(
    r"content-(?!length$|encoding$|range$|security-policy)[a-z0-9-]+|mime-version|importance|priority|sensitivity"
    r"|from|to|cc|sender|reply-to|subject|message-id|in-reply-to|references|received|return-path|thread-[a-z]+"
    r"|x-(?!accel|sendfile|lighttpd|litespeed|reproxy|forwarded|real|original|http|frame|content|xss|dns|sourcemap"
    r"|robots|permitted|ua|pingback)[a-z0-9_-]+"
)
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_HTML = re.compile(
    rb"\s*<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!--)[ >]", re.IGNORECASE
)
_SIGNATURES = (
    (re.compile(rb"\s*<\?xml"), "text/xml; charset=utf-8"),
    (_HTML, "text/html; charset=utf-8"),
    (re.compile(rb"%PDF-"), "application/pdf"),
    (re.compile(rb"%!PS-Adobe-"), "application/postscript"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"BM"), "image/bmp"),
    (re.compile(rb"RIFF....WEBPVP", re.DOTALL), "image/webp"),
    (re.compile(rb"PK\x03\x04"), "application/zip"),
    (re.compile(rb"\x1f\x8b\x08"), "application/x-gzip"),
    (re.compile(rb"\xef\xbb\xbf"), "text/plain; charset=utf-8"),
)


class Downloads:
    """The two endpoints of v1 that answer with a file."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def mail(self, request: Request) -> Response:
        """GET `/api/v1/messages/{id}/download`."""
        mail = self._asked_for(request)
        if mail is None:
            return not_found("This mail is not in the inbox any more.")
        disposition = f'attachment; filename="{mail.id}.eml"'
        return Response(to_eml(mail), headers={"content-type": "message/rfc822", "content-disposition": disposition})

    def part(self, request: Request) -> Response:
        """GET `/api/v1/messages/{id}/mime/part/{part}/download`; a part that is no number is the first."""
        mail = self._asked_for(request)
        number = request.path_params["part"]
        parts = parse(mail).parts if mail else []
        position = int(number) if re.fullmatch("[0-9]{1,9}", number) else 0
        if mail is None or position >= len(parts):
            return not_found("This mail has no such part.")
        return _part_answer(parts[position], f"{mail.id}-part-{position}")

    def _asked_for(self, request: Request) -> Mail | None:
        return self._store.get(request.path_params["id"])


def sniffed(content: bytes) -> str:
    """The type that Go's DetectContentType sees in the first bytes, of those that come in mail."""
    head = content[:SNIFFED_BYTES]
    for signature, kind in _SIGNATURES:
        if signature.match(head):
            return kind
    return "application/octet-stream" if _BINARY.search(head) else "text/plain; charset=utf-8"


def _part_answer(part: Content, name: str) -> Response:
    content = decoded_part(part)
    headers = {"content-disposition": f'attachment; filename="{name}"', "content-type": sniffed(content)}
    for key, values in part.headers.items():
        if _HARMLESS.fullmatch(key.lower()):
            headers[key.lower()] = re.sub(r"[\x00-\x1f\x7f]", " ", values[-1])
    response = Response(content)
    fixed = [(key, value) for key, value in response.raw_headers if key == b"content-length"]
    # Raw, because the header of a mail may hold UTF-8 where Starlette allows Latin-1 only.
    response.raw_headers = fixed + [(key.encode(), value.strip().encode()) for key, value in headers.items()]
    return response
