"""The parts of a mail: a text or an attached file with its MIME headers, 7-bit clean (RFC 2045, 2183, 2231)."""

import binascii
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

MAX_LINE_BYTES = 998  # RFC 5322 2.1.1, without the CRLF
LINE_BYTES = 57  # what one line of base64 carries

_ANY = b"application/octet-stream"
# message/… and multipart/… must not be base64 (RFC 2046 5).
_MEDIA_TYPE = re.compile(r"(?!message/|multipart/)[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")
# Two blanks would be one for DKIM (RFC 6376 3.4.4), `=?` an encoded-word for many a program.
_PLAIN_NAME = re.compile(r"(?! |.*(?:=\?|  | $))[ !#-\[\]-~]{1,60}")
_NO_FALLBACK = re.compile(r"[^A-Za-z0-9 !#$&()+,.@^_`{}~\[\]-]")
_SECTION_CHARACTERS = 56


def text_part(subtype: bytes, text: str) -> bytes:
    """The headers and the body of a text part; the body ends in a CRLF."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text if text.endswith("\n") else text + "\n"
    lines = text.encode("utf-8", "replace")
    data = lines.replace(b"\n", b"\r\n")
    if len(lines) == len(text) and b"\0" not in lines and _has_short_lines(lines):
        encoding = b"7bit"
    elif len(lines) - len(text) > len(data) // 11:
        # Here base64, at 1.37 of the size, is shorter than three characters for each byte beyond ASCII.
        encoding, data = b"base64", base64_lines(data)
    else:
        encoding, data = b"quoted-printable", _quoted_printable(lines)
    return (
        b"Content-Type: text/%b; charset=utf-8\r\nContent-Transfer-Encoding: %b\r\n\r\n" % (subtype, encoding)
    ) + data


def attached_part(name: str, media_type: str, pieces: Iterable[bytes]) -> tuple[bytes, ...]:
    """The headers and the body of a part that is a file, in pieces of whole lines.

    Of the file's `pieces` all but the last have a multiple of 57 bytes. A type that cannot stand there becomes
    application/octet-stream; whatever the name is, it stays within its header.
    """
    media_type = media_type.lower()
    kind = media_type.encode() if _MEDIA_TYPE.fullmatch(media_type) else _ANY
    disposition = b";\r\n ".join([b"attachment", *_file_name(name)])
    head = (
        b'Content-Type: %b;\r\n name="%b"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: %b\r\n\r\n'
        % (kind, _fallback(name), disposition)
    )
    return (head, *(base64_lines(piece) for piece in pieces))


def base64_lines(data: bytes) -> bytes:
    """Base64 in lines of 76 characters, each with its CRLF."""
    encoded = binascii.b2a_base64(data, newline=False)
    return b"".join([encoded[start : start + 76] + b"\r\n" for start in range(0, len(encoded), 76)])


def _has_short_lines(lines: bytes) -> bool:
    """Whether no line has more than 998 bytes. `lines` ends in a line break."""
    start = 0
    while len(lines) - start > MAX_LINE_BYTES + 1:
        # The last line break that comes in time: whatever lines end before it are shorter.
        start = lines.rfind(b"\n", start, start + MAX_LINE_BYTES + 1) + 1
        if not start:
            return False
    return True


def _quoted_printable(lines: bytes) -> bytes:
    """Lines of at most 76 columns (RFC 2045 6.7). Most lines are the same in all copies of a campaign."""
    split = lines[:-1].split(b"\n")
    if _has_short_lines(lines):
        return b"".join(map(_short_line, split))
    return b"".join([_short_line(line) if len(line) <= MAX_LINE_BYTES else _qp_line(line) for line in split])


@lru_cache(4096)
def _short_line(line: bytes) -> bytes:
    return _qp_line(line)


def _qp_line(line: bytes) -> bytes:
    return binascii.b2a_qp(line + b"\r\n")  # the CRLF makes the soft line breaks CRLF too


def _file_name(name: str) -> list[bytes]:
    """The parameters that tell the name: quoted where that says it, else percent-encoded, in sections where it is long
    (RFC 2231). No section ends within a character: there are programs that decode each by itself."""
    if _PLAIN_NAME.fullmatch(name):
        return [b'filename="%b"' % name.encode()]
    sections = [""]
    for character in name:
        encoded = quote(character, safe="!#$&+^`{|}", errors="replace")
        if len(sections[-1]) + len(encoded) > _SECTION_CHARACTERS:
            sections.append("")
        sections[-1] += encoded
    sections[0] = f"utf-8''{sections[0]}"
    if len(sections) == 1:
        return [b"filename*=%b" % sections[0].encode()]
    return [b"filename*%d*=%b" % numbered for numbered in enumerate(map(str.encode, sections))]


def _fallback(name: str) -> bytes:
    """The name for programs that do not know RFC 2231, in the older place (`name` of Content-Type) and plain ASCII."""
    if _PLAIN_NAME.fullmatch(name):
        return name.encode()
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    stem, dot, ending = " ".join(_NO_FALLBACK.sub("_", plain).split()).rpartition(".")
    if not dot:
        stem, ending = ending, ""
    return f"{stem.strip()[:40] or 'file'}{dot}{ending[:15]}".encode()
