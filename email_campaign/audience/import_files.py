"""The uploaded file of an import: taken in, kept in chunks, read from any byte on."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count

from sqlalchemy import ForeignKey, Select, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.audience.attributes import is_storable
from email_campaign.audience.import_layout import HEAD_BYTES, refuse_binary
from email_campaign.audience.import_records import as_utf8
from email_campaign.db import Base
from email_campaign.errors import Conflict, Invalid

CHUNK_BYTES = 256 * 1024


class ImportChunk(Base):
    """A piece of an uploaded file. It stands in Postgres, so that any worker on any machine can go on with it.

    The counts are what the check found (import_checks.py), in the first chunk of each part; None: not checked yet.
    """

    __tablename__ = "import_chunks"

    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes]
    line_count: Mapped[int | None]
    text_count: Mapped[int | None]
    unreadable_count: Mapped[int | None]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it comes in. `stream` yields its bytes and never waits for a stranger: a transaction is open."""

    file_name: str
    stream: Iterable[bytes]
    list_id: int | None
    created_by: int | None
    sends_welcome: bool = False


@dataclass(slots=True)
class Stored:
    """A file that was stored: its size in bytes, its hash, and about how many lines it has."""

    size: int = 0
    sha256: bytes = b""
    line_count: int = 0


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file whose beginning was read: `head` is looked at before anything is stored; `pieces` are the rest."""

    head: bytes
    pieces: Iterator[bytes]


def begin(stream: Iterable[bytes], max_bytes: int) -> Incoming:
    """Read the beginning of a file, without mark and in UTF-8 where it was UTF-16. Raises Invalid for no text."""
    pieces = as_utf8(_limited(stream, max_bytes))
    head = b""
    while len(head) < HEAD_BYTES and (piece := next(pieces, None)) is not None:
        head += piece
    refuse_binary(head)
    return Incoming(head, pieces)


def store(session: Session, import_id: int, incoming: Incoming) -> Stored:
    """Store the whole file as the chunks of an import. Raises Invalid for one that is too large."""
    stored, digest, last_byte = Stored(), hashlib.sha256(), b""
    for number, content in enumerate(_chunks(chain([incoming.head], incoming.pieces))):
        digest.update(content)
        stored.size += len(content)
        stored.line_count += max(content.count(b"\n"), content.count(b"\r"))
        last_byte = content[-1:]
        session.execute(insert(ImportChunk).values(import_id=import_id, number=number, content=content))
    stored.sha256 = digest.digest()
    stored.line_count += last_byte not in (b"", b"\n", b"\r")
    return stored


def file_from(session: Session, import_id: int, offset: int) -> Iterator[bytes]:
    """The content of an import's file from a byte on, a chunk at a time."""
    for number in count(offset // CHUNK_BYTES):
        content = session.scalar(
            select(ImportChunk.content).where(ImportChunk.import_id == import_id, ImportChunk.number == number)
        )
        if content is None:
            return
        yield content[offset % CHUNK_BYTES :] if number == offset // CHUNK_BYTES else content


def file_is_kept(session: Session, import_id: int) -> bool:
    """Whether the file is still there."""
    return session.scalar(_first_chunk(import_id)) is not None


def hold_file(session: Session, import_id: int) -> None:
    """Keep others from deleting the file until this transaction ends. Raises Conflict where it is gone already."""
    if session.scalar(_first_chunk(import_id).with_for_update(read=True, key_share=True)) is None:
        raise Conflict("The file is not kept any more. Import it again: nobody is doubled.")


def shown_name(file_name: str) -> str:
    """The last part of a client's file name, fit to be shown."""
    name = re.split(r"[/\\]", file_name)[-1]
    return (
        "".join(character for character in name if character.isprintable() and is_storable(character))[:200] or "file"
    )


def _first_chunk(import_id: int) -> Select[int]:
    return select(ImportChunk.number).where(ImportChunk.import_id == import_id, ImportChunk.number == 0)


def _limited(stream: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    size = 0
    for piece in stream:
        size += len(piece)
        if size > max_bytes:
            limit = f"{max_bytes / 1024 / 1024:,.0f} MB" if max_bytes >= 1024 * 1024 else f"{max_bytes:,} bytes"
            raise Invalid.field("file", f"The file is larger than {limit}; split it, or raise IMPORT_MAX_BYTES.")
        yield piece


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of exactly CHUNK_BYTES, but for the last: an offset tells the chunk."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= CHUNK_BYTES:
            yield bytes(buffer[:CHUNK_BYTES])
            del buffer[:CHUNK_BYTES]
    if buffer:
        yield bytes(buffer)
