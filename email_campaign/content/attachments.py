"""Attachments: files that a mailing carries, kept once for each name and content, and never changed or looked into."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import LargeBinary, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.content.parts import LINE_BYTES, attached_part
from email_campaign.db import Base, BigId, CreatedAt
from email_campaign.errors import Invalid

MOST_BYTES = 18_000_000
"""The files of a mail, whatever is set: as base64 they have 24.6 MB, and the largest providers take 25 MB."""
MOST_FILES = 20
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
    digest = hashlib.sha256()
    for one in (file.name.encode("utf-8", "replace"), file.media_type.encode(), file.data):
        digest.update(len(one).to_bytes(8))
        digest.update(one)
    made = insert(Attachment).values(sha256=digest.digest(), size=len(file.data), **file._asdict())
    made = made.on_conflict_do_update(index_elements=[Attachment.sha256], set_={"kept_at": func.now()})
    return session.scalars(made.returning(Attachment), execution_options={"populate_existing": True}).one()


def attachments_of(session: Session, ids: Sequence[int]) -> list[Attachment]:
    """The attachments with these ids that are kept, in this order, without what is in them."""
    if not ids:
        return []
    found = {one.id: one for one in session.scalars(select(Attachment).where(Attachment.id.in_(ids)))}
    return [found[one] for one in ids if one in found]


def hold(session: Session, ids: Sequence[int]) -> list[Attachment]:
    """As `attachments_of`, locked: whoever is about to carry them finds them afterwards. Raises Invalid where one is
    gone, or where they are too many or too large for any mail."""
    locked = select(Attachment).where(Attachment.id.in_(ids)).order_by(Attachment.id)
    found = {one.id: one for one in session.scalars(locked.with_for_update(read=True, key_share=True))} if ids else {}
    if len(found) < len(set(ids)):
        raise Invalid.field("attachment_ids", "One of the files is not kept any more; attach it again.")
    held = [found[one] for one in dict.fromkeys(ids)]
    if problem := total_problem([(one.name, one.size) for one in held], MOST_BYTES):
        raise Invalid.field("attachment_ids", problem)
    return held


def total_problem(files: Sequence[tuple[str, int]], most_bytes: int) -> str:
    """Why files of these names and sizes cannot go in one mail, and what to do; empty where they can."""
    if len(files) > MOST_FILES:
        return f"{len(files)} files are too many: a mail carries {MOST_FILES} at most. Pack some into one .zip."
    names = [name.lower() for name, _ in files]
    if twice := next((name for name, _ in files if names.count(name.lower()) > 1), None):
        return f"There are two files “{twice}”. Take one of them off, or rename it: a reader could not tell them apart."
    total = sum(size for _, size in files)
    if total > most_bytes:
        what = f"“{files[0][0]}” has" if len(files) == 1 else "The files have"
        return (
            f"{what} {math.ceil(total / 1e5) / 10:,} MB, and a mail carries {most_bytes / 1e6:,.1f} MB at most: many "
            "receivers refuse larger ones. Make it smaller, or put it on a web page and link to it."
        )
    return ""


def attached_parts(session: Session, ids: Sequence[int]) -> tuple[tuple[bytes, ...], ...]:
    """Their parts, as they stand in every mail."""
    return tuple(
        attached_part(one.name, one.media_type, pieces_of(session, one)) for one in attachments_of(session, ids)
    )


def outlined_parts(session: Session, ids: Sequence[int]) -> tuple[tuple[bytes, ...], ...]:
    """Their parts with a sentence in the place of the file: for people who look at the source of a mail."""
    return tuple(
        (*attached_part(one.name, one.media_type, ()), b"(%d bytes as base64: not shown here)\r\n" % one.size)
        for one in attachments_of(session, ids)
    )


def pieces_of(session: Session, one: Attachment) -> Iterator[bytes]:
    """What is in the file, piece by piece."""
    for start in range(0, one.size, READ_BYTES):
        piece = func.substring(Attachment.data, start + 1, READ_BYTES, type_=LargeBinary)
        yield session.scalars(select(piece).where(Attachment.id == one.id)).one()
