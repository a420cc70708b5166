"""A mail as a person reads it: decoded headers, text, HTML and attachments. Broken mail is shown, never refused."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.policy import Compat32

from email_campaign.local.inbox.mail import Mail, Summary, text_of

SUMMARY_CHARACTERS = 300
GLANCE_BYTES = 16 * 1024
"""Headers are looked for in so much of a mail before it is taken apart for good."""

_SUMMARISED = re.compile(rb"\r\n(subject|from|to): ?([^\r]*(?:\r(?!\n)[^\r]*|\r\n[ \t][^\r]*)*)", re.IGNORECASE)
"""Three headers of a list, found ten times as fast as by splitting all of them."""

_ALTERNATIVE = re.compile(
    rb'^content-type:[ \t]*multipart/alternative;[^\r]*(?:\r\n[ \t][^\r]*)*?boundary="?([^"\r\n;]+)',
    re.IGNORECASE | re.MULTILINE,
)
_CONTENT_TYPE = re.compile(rb"^content-type:\s*([^\s;]*)", re.IGNORECASE | re.MULTILINE)
_LETTERS = frozenset({b"text/plain", b"text/html"})
_NAMED = re.compile(rb"name\s*[=*]|content-disposition", re.IGNORECASE)


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
    """What the mail view shows. `text` and `html` are None where the mail has none; `fields` are headers undecoded."""

    fields: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]


def summary_of(mail: Mail) -> Summary:
    """Subject, From and To, decoded; worked out on first use and kept with the mail."""
    if mail.summary is None:
        head, empty_line, _ = mail.raw.partition(b"\r\n\r\n")
        has_headers = empty_line and not head.startswith(b"\r\n")
        found = _SUMMARISED.findall(b"\r\n" + head) if has_headers else ()
        last = {name.lower(): _short(text_of(value)) for name, value in found}
        mail.summary = Summary(
            subject=last.get(b"subject", ""),
            sender=last.get(b"from") or mail.sender,
            to=last.get(b"to") or ", ".join(mail.recipients)[:SUMMARY_CHARACTERS],
        )
    return mail.summary


def read(mail: Mail) -> Readable:
    """Take a mail apart. What cannot be parsed at all is shown as one text."""
    try:
        return _read(message_of(mail))
    except Exception:  # the standard library's parser raises many kinds on hostile mail; it is to be seen all the same
        return Readable((), (), text_of(mail.raw), None, ())


def message_of(mail: Mail) -> Message:
    """What the standard library makes of a mail. On hostile ones it raises whatever it likes."""
    return message_from_bytes(mail.raw, policy=_AS_THEY_CAME)


def has_attachments(mail: Mail) -> bool:
    """Whether the mail view lists attachments; worked out on first use and kept with the mail."""
    if mail.has_attachments is None:
        mail.has_attachments = not _is_bare(mail.raw) and bool(read(mail).attachments)
    return mail.has_attachments


def decode_words(value: str) -> str:
    """RFC 2047 encoded words as text; whatever is malformed or of an unknown charset stays readable."""
    if not value.isprintable():
        value = re.sub(r"\r?\n[ \t]*|[\r\n\t]", " ", value)
    if "=?" not in value:
        return value
    try:
        chunks = decode_header(value)
    except (HeaderParseError, ValueError):
        return value
    return "".join(chunk if isinstance(chunk, str) else _decode(chunk, charset) for chunk, charset in chunks)


def filename_of(part: Message) -> str:
    """The file's name as the mail gives it, without what could leave a folder; empty where it has none."""
    try:
        name = part.get_filename()
    except (LookupError, TypeError, ValueError):  # malformed RFC 2231 parameters
        return ""
    return re.sub(r"[\x00-\x1f\x7f/\\]+", "_", decode_words(name or "")).strip()[:200]


def content_of(part: Message) -> bytes:
    """The decoded bytes of a part; of an attached mail all of it."""
    if part.is_multipart():
        return b"".join(inner.as_bytes() for inner in part.get_payload() if isinstance(inner, Message))
    decoded = part.get_payload(decode=True)
    return decoded if isinstance(decoded, bytes) else b""


def _short(value: str) -> str:
    # Cut before decoding as well: a header of a megabyte must not be decoded for a line in a list.
    return decode_words(value[: SUMMARY_CHARACTERS * 20]).strip()[:SUMMARY_CHARACTERS]


def _read(message: Message) -> Readable:
    text: str | None = None
    html: str | None = None
    attachments: list[Attachment] = []
    for part in _leaves(message):
        media_type = part.get_content_type()
        is_body = part.get_content_disposition() != "attachment" and not filename_of(part)
        if is_body and media_type == "text/plain" and text is None:
            text = _decode(content_of(part), part.get_content_charset())
        elif is_body and media_type == "text/html" and html is None:
            html = _decode(content_of(part), part.get_content_charset())
        else:
            attachments.append(_attachment(part, len(attachments)))
    fields = tuple(message.items())
    headers = tuple((name, decode_words(value)) for name, value in fields)
    return Readable(fields, headers, text, html, tuple(attachments))


def _is_bare(raw: bytes) -> bool:
    """True where a glance shows one text, one HTML, or one of each. False says nothing: the mail has to be parsed."""
    head, empty_line, _ = raw[:GLANCE_BYTES].partition(b"\r\n\r\n")
    if not empty_line:
        return False
    found = _ALTERNATIVE.search(head)
    if found is None:
        return _is_letter(head) and b"multipart" not in head.lower()
    pieces = raw.split(b"\r\n--" + found[1])[1:-1]
    heads = [piece.partition(b"\r\n\r\n")[0] for piece in pieces]
    kinds = {kind for kind in (b"text/plain", b"text/html") for part in heads if kind in part.lower()}
    return len(kinds) == len(heads) and all(_is_letter(part) for part in heads)


def _is_letter(head: bytes) -> bool:
    kind = _CONTENT_TYPE.search(head)
    return (kind is None or kind[1].lower() in _LETTERS) and not _NAMED.search(head)


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
    name = filename_of(part) or ("attached.eml" if media_type == "message/rfc822" else f"part-{number + 1}")
    return Attachment(number, name, media_type, content_id, content_of(part))


def _decode(raw: bytes, charset: str | None) -> str:
    for candidate in (charset or "utf-8", "utf-8"):
        try:
            return raw.decode(candidate)
        except (LookupError, ValueError):
            continue
    return raw.decode("latin-1")
