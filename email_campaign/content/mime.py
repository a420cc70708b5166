"""The bytes of a mail: headers, words and attachments, 7-bit clean and repeatable (RFC 5322, 2045–2047)."""

import binascii
import hashlib
import re
from collections.abc import Sequence
from itertools import chain

from email_campaign.content.parts import MAX_LINE_BYTES, text_part

FOLD_COLUMN = 78  # RFC 5322 2.1.1: what a line should keep to

_HEADER_NAME = re.compile(r"[!-9;-~]+")  # RFC 5322 3.6.8
_CONTROLS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_ADDRESS = re.compile(r"[!#-'*+\-./0-9=?A-Z^_`a-z{|}~]+@[A-Za-z0-9.\-_]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")  # RFC 5322 3.2.3, and blanks between
_FOLD_POINT = re.compile(r"(?<=[^ ]) (?=[^ ])")
_OWN_HEADERS = ("mime-version", "content-")

_ENCODED_BYTES = 42
"""What one encoded-word carries as base64: `Reply-To: ` and such a word fill the 78 columns."""

# RFC 2047 5 (3): what may stand for itself in an encoded-word that is part of a display name.
_Q = [chr(byte) if re.match(r"[A-Za-z0-9!*+/-]", chr(byte)) else f"={byte:02X}" for byte in range(256)]
_Q[0x20] = "_"
_Q_CHARACTERS = 56  # as long as the base64 of 42 bytes


class BadHeader(ValueError):
    """A header or an address that would break the message or smuggle something into it."""


def one_line(value: str) -> str:
    """The text without line breaks and other control characters: they and runs of blanks become one blank."""
    # Most values are one line as they stand, and to see that is far cheaper than to replace.
    return (value if value.isprintable() and "  " not in value else _CONTROLS.sub(" ", value)).strip()


def address_header(display_name: str, address: str) -> str:
    """`address` or `name <address>`, for From, To and Reply-To. Raises BadHeader for an address that breaks out."""
    if not _ADDRESS.fullmatch(address):
        raise BadHeader(f"“{address[:80]}” cannot stand in a header as an address.")
    name = one_line(display_name)
    if not name:
        return address
    if _needs_encoding(name):
        return f"{_encode(name)} <{address}>"
    return f"{_quote(name)} <{address}>"


def text_header(value: str) -> str:
    """The value of an unstructured header such as Subject: one line, as encoded-words where it is not plain ASCII."""
    value = one_line(value)
    return _encode(value) if _needs_encoding(value) else value


def list_id_header(name: str, list_id: str) -> str:
    """`name <list.id>` (RFC 2919), without a name that is not plain ASCII: programs compare the header as it stands."""
    name = one_line(name)
    return f"<{list_id}>" if not name or _needs_encoding(name) else f"{_quote(name)} <{list_id}>"


class Head:
    """The headers that all mails of a mailing have, in order: a value that is None is given for each mail.

    Values are ready for the wire: from the functions above, or plain ASCII. They are folded at blanks only, so that a
    URL stays whole (RFC 8058). The MIME headers are ours. Raises BadHeader for a header that comes twice, that has a
    line break or any other character that is not printable ASCII, or that has a word of more than 998 bytes.
    """

    def __init__(self, headers: Sequence[tuple[str, str | None]]) -> None:
        names = [name.lower() for name, _ in headers]
        if len(set(names)) != len(names):
            raise BadHeader("A header comes twice.")
        for name in names:
            if name.startswith(_OWN_HEADERS):
                raise BadHeader("The MIME headers come from the parts.")
            if not _HEADER_NAME.fullmatch(name):
                raise BadHeader(f"“{name[:40]}” is no name of a header.")
        self._given = [name for name, value in headers if value is None]
        lines = ["%s" if value is None else _header(name, value).replace("%", "%%") for name, value in headers]
        self._lines = "".join(lines) + "MIME-Version: 1.0\r\n"

    def fill(self, values: Sequence[str]) -> bytes:
        """The headers of one mail, with the values that were left open. Raises BadHeader."""
        lines = [_header(name, value) for name, value in zip(self._given, values, strict=True)]
        return (self._lines % tuple(lines)).encode("ascii")


def assemble(head: bytes, text: str, html: str | None, boundary_seed: bytes) -> bytes:
    """The mail under its filled head, with CRLF line ends and a CRLF at its end.

    No clock, no chance: the same input gives the same bytes.
    """
    plain = text_part(b"plain", text)
    if html is None:
        return head + plain
    marked_up = text_part(b"html", html)
    boundary = _boundary(boundary_seed, plain, marked_up)
    return b"".join(
        [
            head,
            b'Content-Type: multipart/alternative;\r\n boundary="%b"\r\n\r\n--%b\r\n' % (boundary, boundary),
            plain,
            b"--%b\r\n" % boundary,  # the CRLF before it belongs to the boundary (RFC 2046 5.1.1)
            marked_up,
            b"--%b--\r\n" % boundary,
        ]
    )


class Enclosed:
    """The attachments of a mailing as they stand behind the words of each of its mails (multipart/mixed).

    They are the same objects in all copies, so that a copy holds and copies nothing of them. `parts` are from
    `parts.attached_part`.
    """

    def __init__(self, parts: Sequence[Sequence[bytes]], boundary_seed: bytes) -> None:
        self._parts = parts
        self._seed = boundary_seed
        self._boundary = boundary = _boundary(boundary_seed, *chain(*parts))
        self._opening = b'Content-Type: multipart/mixed;\r\n boundary="%b"\r\n\r\n--%b\r\n' % (boundary, boundary)
        delimiter = b"--%b\r\n" % boundary
        self._pieces = (*chain(*((delimiter, *part) for part in parts)), b"--%b--\r\n" % boundary)

    def enclose(self, head: bytes, words: bytes) -> tuple[bytes, tuple[bytes, ...]]:
        """A mail in two: what is its own, and the pieces that follow. `words` are assembled under an empty head."""
        if self._boundary in words:
            # Somebody wrote a former mail's boundary into what is known of them.
            return Enclosed(self._parts, self._seed + b"+").enclose(head, words)
        return b"".join((head, self._opening, words)), self._pieces


def _needs_encoding(value: str) -> bool:
    # `=?` in plain text would be read as an encoded-word; a long word could not be folded.
    return not value.isascii() or "=?" in value or (len(value) > 60 and max(map(len, value.split(" "))) > 60)


def _quote(name: str) -> str:
    if _ATOMS.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _encode(value: str) -> str:
    """Encoded-words of at most 68 characters; the blank between two of them is no part of the text (RFC 2047 6.2)."""
    data = value.encode("utf-8", "replace")
    if len(data) <= 4 * len(value) // 3:
        return " ".join(f"=?utf-8?q?{chunk}?=" for chunk in _q_chunks(data.decode()))
    return " ".join(f"=?utf-8?b?{binascii.b2a_base64(chunk, newline=False).decode()}?=" for chunk in _b_chunks(data))


def _q_chunks(value: str) -> list[str]:
    whole = "".join([_Q[byte] for byte in value.encode()])
    if len(whole) <= _Q_CHARACTERS:
        return [whole]
    chunks, current = [], ""
    for character in value:
        encoded = "".join([_Q[byte] for byte in character.encode()])
        if len(current) + len(encoded) > _Q_CHARACTERS:
            chunks.append(current)
            current = ""
        current += encoded
    return [*chunks, current]


def _b_chunks(data: bytes) -> list[bytes]:
    chunks, start = [], 0
    while start < len(data):
        end = min(start + _ENCODED_BYTES, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:  # never between the bytes of a character (RFC 2047 5)
            end -= 1
        chunks.append(data[start:end])
        start = end
    return chunks


def _header(name: str, value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise BadHeader(f"The header {name} contains a line break or a character that is not plain ASCII.")
    line = f"{name}: {value.strip()}\r\n"
    return line if len(line) <= FOLD_COLUMN + 2 else _fold(line)


def _fold(line: str) -> str:
    """The header with line breaks before blanks, each line within 78 columns where its words allow it."""
    lines, current = [], ""
    for word in _FOLD_POINT.split(line.removesuffix("\r\n")):
        # A line of its name only has been misread by too many programs: the first word stays beside the name.
        if current and not current.endswith(":") and len(current) + 1 + len(word) > FOLD_COLUMN:
            lines.append(current)
            current = f" {word}"
        else:
            current = f"{current} {word}" if current else word
    lines.append(current)
    if max(map(len, lines)) > MAX_LINE_BYTES:
        raise BadHeader(f"The header {line[: line.index(':')]} has a word of more than {MAX_LINE_BYTES} bytes.")
    return "\r\n".join(lines) + "\r\n"


def _boundary(seed: bytes, *parts: bytes) -> bytes:
    """A delimiter that stands in no part. `=_` occurs in no quoted-printable and no base64 (RFC 2045 6.7)."""
    counter = 0
    while True:
        boundary = b"=_" + hashlib.sha256(b"%d:%b" % (counter, seed)).hexdigest()[:32].encode()
        if not any(boundary in part for part in parts):
            return boundary
        counter += 1
