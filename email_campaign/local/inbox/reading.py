"""A mail as a person reads it: decoded headers, text, HTML and attachments. Broken mail is shown, never refused."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.policy import Compat32
from urllib.parse import unquote

from email_campaign.local.inbox.mail import Mail, Summary, header, split_headers, text_of

SUMMARY_CHARACTERS = 300
MAX_INLINE_BYTES = 5 * 1024 * 1024
"""Images that a mail shows from its own parts, in all: they travel as data: URLs within the page."""


class _AsTheyCame(Compat32):
    """Header values as text: most that are not ASCII are UTF-8, and the standard library would hide them."""

    def header_fetch_parse(self, name: str, value: str) -> str:  # noqa: ARG002 - the policy's signature
        return text_of(str(value).encode("utf-8", "surrogateescape"))


_AS_THEY_CAME = _AsTheyCame()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is neither the text nor the HTML of the mail."""

    number: int
    name: str
    media_type: str
    content_id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Readable:
    """What the mail view shows. `text` and `html` are None where the mail has none."""

    headers: tuple[tuple[str, str], ...]
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]


def summary_of(mail: Mail) -> Summary:
    """Subject, From and To, decoded; worked out on first use and kept with the mail."""
    if mail.summary is None:
        headers, _ = split_headers(mail.raw)
        mail.summary = Summary(
            subject=_short(header(headers, "subject")),
            sender=_short(header(headers, "from")) or mail.sender,
            to=_short(header(headers, "to")) or ", ".join(mail.recipients)[:SUMMARY_CHARACTERS],
        )
    return mail.summary


def read(mail: Mail) -> Readable:
    """Take a mail apart. What cannot be parsed at all is shown as one text."""
    try:
        message = message_from_bytes(mail.raw, policy=_AS_THEY_CAME)
        return _read(message)
    except Exception:  # the standard library's parser raises many kinds on hostile mail; it is to be seen all the same
        return Readable((), text_of(mail.raw), None, ())


def for_frame(readable: Readable) -> str:
    """The HTML of a mail for a sandboxed frame: links open a new tab, `cid:` images come from the mail itself."""
    html = readable.html or ""
    images = {part.content_id: part for part in readable.attachments if part.media_type.startswith("image/")}
    budget = MAX_INLINE_BYTES

    def inline(found: re.Match[str]) -> str:
        nonlocal budget
        part = images.get(unquote(found[1]).replace("&amp;", "&"))
        if part is None or len(part.content) > budget or not re.fullmatch(r"[\w.+/-]+", part.media_type):
            return found[0]
        budget -= len(part.content)
        return f"data:{part.media_type};base64,{base64.b64encode(part.content).decode()}"

    html = re.sub(r"""\bcid:([^"'\s)>]+)""", inline, html, flags=re.IGNORECASE)
    base = '<base target="_blank">'
    opening = re.search(r"<head\b[^>]*>", html, re.IGNORECASE) or re.match(r"\s*<!doctype[^>]*>", html, re.IGNORECASE)
    position = opening.end() if opening else 0
    return html[:position] + base + html[position:]


def decode_words(value: str) -> str:
    """RFC 2047 encoded words as text; whatever is malformed or of an unknown charset stays readable."""
    value = re.sub(r"\r?\n[ \t]*|[\r\n\t]", " ", value)
    if "=?" not in value:
        return value
    try:
        chunks = decode_header(value)
    except (HeaderParseError, ValueError):
        return value
    return "".join(chunk if isinstance(chunk, str) else _decode(chunk, charset) for chunk, charset in chunks)


def _short(value: str) -> str:
    # Cut before decoding as well: a header of a megabyte must not be decoded for a line in a list.
    return decode_words(value[: SUMMARY_CHARACTERS * 20]).strip()[:SUMMARY_CHARACTERS]


def _read(message: Message) -> Readable:
    text: str | None = None
    html: str | None = None
    attachments: list[Attachment] = []
    for part in _leaves(message):
        media_type = part.get_content_type()
        is_body = part.get_content_disposition() != "attachment" and not _filename(part)
        if is_body and media_type == "text/plain" and text is None:
            text = _decode(_content(part), part.get_content_charset())
        elif is_body and media_type == "text/html" and html is None:
            html = _decode(_content(part), part.get_content_charset())
        else:
            attachments.append(_attachment(part, len(attachments)))
    headers = tuple((name, decode_words(value)) for name, value in message.items())
    return Readable(headers, text, html, tuple(attachments))


def _leaves(part: Message) -> Iterator[Message]:
    """The parts that are not multiparts themselves; an attached mail is one part."""
    if part.get_content_maintype() == "multipart" and part.is_multipart():
        for inner in part.get_payload():
            if isinstance(inner, Message):
                yield from _leaves(inner)
    else:
        yield part


def _attachment(part: Message, number: int) -> Attachment:
    content_id = str(part.get("content-id", "")).strip().strip("<>")
    media_type = part.get_content_type()
    name = _filename(part) or ("attached.eml" if media_type == "message/rfc822" else f"part-{number + 1}")
    return Attachment(number, name, media_type, content_id, _content(part))


def _filename(part: Message) -> str:
    try:
        name = part.get_filename()
    except (LookupError, TypeError, ValueError):  # malformed RFC 2231 parameters
        return ""
    return re.sub(r"[\x00-\x1f\x7f/\\]+", "_", decode_words(name or "")).strip()[:200]


def _content(part: Message) -> bytes:
    if part.is_multipart():
        return b"".join(inner.as_bytes() for inner in part.get_payload() if isinstance(inner, Message))
    decoded = part.get_payload(decode=True)
    return decoded if isinstance(decoded, bytes) else b""


def _decode(raw: bytes, charset: str | None) -> str:
    for candidate in (charset or "utf-8", "utf-8"):
        try:
            return raw.decode(candidate)
        except (LookupError, ValueError):
            continue
    return raw.decode("latin-1")
