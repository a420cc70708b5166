"""Imports: a CSV file becomes contacts and subscriptions, in the background, row by row accounted for."""

from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from email_campaign.db import Base, BigId, CreatedAt


class Import(Base):
    """One uploaded file on its way into one list (or none). Its task has progress, cursor and result.

    rows = created + changed + unchanged + repeated + refused, at the end.
    """

    __tablename__ = "imports"

    id: Mapped[BigId]
    list_id: Mapped[int | None] = mapped_column(ForeignKey("mailing_lists.id"), index=True)
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"), index=True)
    file_name: Mapped[str]
    file_bytes: Mapped[int]
    file_sha256: Mapped[bytes]
    layout: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[CreatedAt]
    created_count: Mapped[int] = mapped_column(server_default="0")
    changed_count: Mapped[int] = mapped_column(server_default="0")
    unchanged_count: Mapped[int] = mapped_column(server_default="0")
    repeated_count: Mapped[int] = mapped_column(server_default="0")
    refused_count: Mapped[int] = mapped_column(server_default="0")
    suppressed_count: Mapped[int] = mapped_column(server_default="0")
    unsubscribed_count: Mapped[int] = mapped_column(server_default="0")
    recoded_count: Mapped[int] = mapped_column(server_default="0")


class ImportChunk(Base):
    """A piece of an uploaded file. It stands in Postgres, so that any worker on any machine can go on with it."""

    __tablename__ = "import_chunks"

    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes]


class ImportContact(Base):
    """Whom an import has met already, while it runs: who comes again in the file is a repeated row, not a person."""

    __tablename__ = "import_contacts"

    import_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    contact_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class ImportRefusal(Base):
    """A row that did not get in: its line in the file, what it said and why it was refused."""

    __tablename__ = "import_refusals"

    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    row: Mapped[str]
    reason: Mapped[str]
