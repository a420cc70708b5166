"""One mail as it arrived, and what MailHog makes of it: header map, parts, JSON, download.

Where MailHog misreads a mail, this does not: a header needs no blank after its colon and may be empty; Content-Type
counts in any case; any boundary is understood, also unquoted or one that begins like another; a part without headers
keeps its first paragraph; a download has every header line as it came, below those that were added.
"""

import base64
import binascii
import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

MAX_DEPTH = 50
"""Multiparts nested deeper than this are shown as one body: a hostile mail must not exhaust the stack."""

JsonObject = dict[str, Any]


def _replace_each_byte(error: UnicodeError) -> tuple[str, int]:
    """U+FFFD for every byte that is not UTF-8, as Go does; Python's own `replace` merges some of them."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("replace-each-byte", _replace_each_byte)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a list shows of a mail: decoded, and cut to a length that keeps the cache small."""

    subject: str
    sender: str
    to: str


@dataclass(slots=True, eq=False)
class Mail:
    """The envelope and the bytes between DATA and the final dot. Only the reader's mark and the caches change."""

    number: int
    id: str
    host_name: str
    created: datetime
    helo: str
    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    is_read: bool = False
    summary: Summary | None = None
    has_attachments: bool | None = None


@dataclass(slots=True)
class Content:
    """Headers and body of a mail or of one of its parts. `parts` is None where MailHog says `MIME: null`."""

    headers: dict[str, list[str]]
    body: bytes
    size: int
    is_multipart: bool = False
    parts: list["Content"] = field(default_factory=list)


def text_of(raw: bytes) -> str:
    """UTF-8 with one U+FFFD for each byte that is none."""
    return raw.decode("utf-8", "replace-each-byte")


def parse(mail: Mail) -> Content:
    """Headers (with those that MailHog adds), body and parts of a mail."""
    content = _parse_content(mail.raw)
    content.headers = _with_trace(mail, content.headers)
    return content


def split_headers(raw: bytes) -> tuple[dict[str, list[str]], bytes]:
    """The header map and the body. Without an empty line all of it is body, as in MailHog.

    A name is listed once with the value that came last; folded lines are joined without their line end.
    """
    head, empty_line, body = raw.partition(b"\r\n\r\n")
    if raw.startswith(b"\r\n"):
        return {}, raw[2:]
    if not empty_line:
        return {}, raw
    headers: dict[str, list[str]] = {}
    name = None
    for line in text_of(head).split("\r\n"):
        if line.startswith((" ", "\t")):
            if name is not None:
                headers[name][-1] += line
            continue
        name, colon, value = line.partition(":")
        if not colon:
            name = None
            continue
        headers[name] = [value.removeprefix(" ")]
    return headers, body


def to_json(mail: Mail) -> JsonObject:
    """The mail as MailHog's API tells it, key for key and in its order."""
    content = parse(mail)
    return {
        "ID": mail.id,
        "From": _path_json(mail.sender),
        "To": [_path_json(recipient) for recipient in mail.recipients],
        "Content": _content_json(content) | {"MIME": None},
        "Created": _rfc3339(mail.created),
        "MIME": _parts_json(content),
        "Raw": {
            "From": mail.sender,
            "To": list(mail.recipients),
            "Data": text_of(mail.raw),
            "Helo": mail.helo,
        },
    }


def trace_of(mail: Mail) -> tuple[str, str]:
    """The values of the Received and Return-Path headers that MailHog adds."""
    when = mail.created.strftime("%a, %d %b %Y %H:%M:%S %z")
    received = f"from {mail.helo} by {mail.host_name} (MailHog)\r\n          id {mail.id}; {when}"
    return received, f"<{mail.sender}>"


def to_eml(mail: Mail) -> bytes:
    """The file to download: the added headers on top, then the bytes as they came."""
    headers, _ = split_headers(mail.raw)
    received, return_path = trace_of(mail)
    lines = [f"Return-Path: {return_path}", f"Received: {received}"]
    if not any(name.lower() == "message-id" for name in headers):
        lines.append(f"Message-ID: {mail.id}")
    added = "".join(f"{line}\r\n" for line in lines).encode()
    return added + mail.raw if headers else added + b"\r\n" + mail.raw.removeprefix(b"\r\n")


def decoded_part(part: Content) -> bytes:
    """The bytes of a part: base64 is decoded up to its first mistake, every other encoding is left as it is."""
    if header(part.headers, "content-transfer-encoding").strip().lower() != "base64":
        return part.body
    digits = re.sub(rb"[\r\n]", b"", part.body)
    good = re.match(rb"[A-Za-z0-9+/]*={0,2}", digits)
    text = good.group() if good else b""
    try:
        return base64.b64decode(text[: len(text) // 4 * 4])
    except binascii.Error:
        return b""


def header(headers: Mapping[str, list[str]], name: str) -> str:
    """The last value of a header in any case of its name, or an empty text."""
    values = [values[-1] for key, values in headers.items() if key.lower() == name]
    return values[-1] if values else ""


def _parse_content(raw: bytes, depth: int = 0) -> Content:
    headers, body = split_headers(raw)
    content = Content(headers, body, len(raw))
    content_type = header(headers, "content-type")
    if content_type[:10].lower() != "multipart/" or depth == MAX_DEPTH:
        return content
    content.is_multipart = True
    boundary = re.search(r'boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))', content_type, re.IGNORECASE)
    if boundary is None:
        return content
    delimiter = re.sub(r"\\(.)", r"\1", boundary[1]) if boundary[1] is not None else boundary[2]
    if delimiter:
        content.parts = _split_parts(body, delimiter.encode(), depth)
    return content


def _split_parts(body: bytes, boundary: bytes, depth: int) -> list[Content]:
    """Cut the body at every delimiter line; what stands before the first and after the last is a part as well."""
    # A delimiter that only begins like ours belongs to another multipart.
    delimiter = re.compile(rb"^--" + re.escape(boundary) + rb"(?:(?=--)|[ \t]*(?=\r?$))", re.MULTILINE)
    ends = [(found.start(), found.end()) for found in delimiter.finditer(body)]
    starts = [0, *(end for _, end in ends)]
    stops = [*(start for start, _ in ends), len(body)]
    parts = []
    for position, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        if start == stop:
            continue
        piece = body[start:stop]
        trimmed = piece.strip(b"\r\n")
        # Before the first delimiter and after an empty line there is text only: it must not be taken for headers.
        is_text = position == 0 or piece.startswith((b"--", b"\r\n\r\n"))
        parts.append(Content({}, trimmed, len(trimmed)) if is_text else _parse_content(trimmed, depth + 1))
    return parts


def _with_trace(mail: Mail, headers: dict[str, list[str]]) -> dict[str, list[str]]:
    names = {name.lower(): name for name in headers}
    received, return_path = trace_of(mail)
    if "message-id" not in names:
        headers["Message-ID"] = [mail.id]
    headers.setdefault(names.get("received", "Received"), []).append(received)
    headers.setdefault(names.get("return-path", "Return-Path"), []).append(return_path)
    return headers


def _content_json(content: Content) -> JsonObject:
    return {
        "Headers": dict(sorted(content.headers.items())),
        "Body": text_of(content.body),
        "Size": content.size,
        "MIME": _parts_json(content),
    }


def _parts_json(content: Content) -> JsonObject | None:
    if not content.is_multipart:
        return None
    return {"Parts": [_content_json(part) for part in content.parts] or None}


def _path_json(path: str) -> JsonObject:
    route, colon, address = path.partition(":")
    mailbox, _, domain = (address if colon else path).partition("@")
    return {"Relays": route.split(",") if colon else None, "Mailbox": mailbox, "Domain": domain, "Params": ""}


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
