"""Attachments: files that a mailing carries, kept once for each name and content, and never changed or looked into."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import LargeBinary, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.content.parts import LINE_BYTES, attached_part
from email_campaign.db import Base, BigId, CreatedAt

READ_BYTES = LINE_BYTES * 8192
"""What is read at once: so much of a file stands in memory beside its part, and no more."""


class Attachment(Base):
    """A file. Campaigns and content versions name it by its id; it is found again by the hash of all that it is.
    `kept_at` is when somebody brought it last."""

    __tablename__ = "attachments"

    id: Mapped[BigId]
    sha256: Mapped[bytes] = mapped_column(unique=True)
    name: Mapped[str]
    media_type: Mapped[str]
    size: Mapped[int]
    data: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    kept_at: Mapped[CreatedAt]


class File(NamedTuple):
    """A file as somebody brings it."""

    name: str
    media_type: str
    data: bytes


def keep(session: Session, file: File) -> Attachment:
    """The attachment that is exactly this file, made if need be; locked, so that nobody throws it away meanwhile."""
    framed = (file.name.encode("utf-8", "replace"), file.media_type.encode(), file.data)
    digest = hashlib.sha256(b"".join(len(one).to_bytes(8) + one for one in framed)).digest()
    made = insert(Attachment).values(sha256=digest, size=len(file.data), **file._asdict())
    made = made.on_conflict_do_update(index_elements=[Attachment.sha256], set_={"kept_at": func.now()})
    return session.scalars(made.returning(Attachment), execution_options={"populate_existing": True}).one()


def attachments_of(session: Session, ids: Sequence[int]) -> list[Attachment]:
    """The attachments with these ids, in this order, without what is in them."""
    if not ids:
        return []
    found = {one.id: one for one in session.scalars(select(Attachment).where(Attachment.id.in_(ids)))}
    return [found[one] for one in ids]


def attached_parts(session: Session, ids: Sequence[int]) -> tuple[tuple[bytes, ...], ...]:
    """Their parts, as they stand in every mail."""
    return tuple(
        attached_part(one.name, one.media_type, pieces_of(session, one)) for one in attachments_of(session, ids)
    )


def pieces_of(session: Session, one: Attachment) -> Iterator[bytes]:
    """What is in the file, piece by piece."""
    for start in range(0, one.size, READ_BYTES):
        piece = func.substring(Attachment.data, start + 1, READ_BYTES, type_=LargeBinary)
        yield session.scalars(select(piece).where(Attachment.id == one.id)).one()
