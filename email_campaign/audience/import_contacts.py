"""Whom an import met, what it did to them and how they were before: what it takes to undo it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.db import Base

UNDO_LOCK = 0x6D75
"""An advisory lock: a step of an undo holds it alone, steps of imports share it. So no import puts somebody on a list
who goes at that moment, and the two never wait for each other in a ring."""
MARK = "hashtextextended(contacts.name || chr(10) || contacts.attributes::text, 0)"
"""Stands for what people and imports write into a contact: a change that was taken back is no change."""


class ImportContact(Base):
    """A contact whom an import met; who comes again in its file is a repeated row, not a person.

    `mark` is the contact as the import left them, empty where it changed nothing; `name_before` and `attributes_before`
    hold what it changed and nothing else, with null for an attribute that was not there. The row is the import's claim
    on the contact: it goes when the import is undone, when the person is erased, and after a month.
    """

    __tablename__ = "import_contacts"

    import_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    contact_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, index=True)
    met_at: Mapped[datetime] = mapped_column(server_default=func.now())
    mark: Mapped[int | None]
    was_created: Mapped[bool] = mapped_column(server_default="false")
    name_before: Mapped[str | None]
    attributes_before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


@dataclass(frozen=True, slots=True)
class Trace:
    """What an import did to a contact, as it stands in the row; nothing, where there is no mark."""

    mark: int | None = None
    was_created: bool = False
    name_before: str | None = None
    attributes_before: Mapping[str, Any] | None = None


def event_detail(import_id: int) -> str:
    """How the history of a subscription names an import."""
    return f"import {import_id}"


def share_undo_lock(session: Session) -> None:
    """Keep undos out until the transaction ends. A statement of its own, before whatever is read under it."""
    session.execute(select(func.pg_advisory_xact_lock_shared(UNDO_LOCK)))


def take_undo_lock(session: Session) -> None:
    """Keep imports and other undos out until the transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(UNDO_LOCK)))


def note_met(session: Session, import_id: int, traces: Mapping[int, Trace]) -> list[int]:
    """Note whom this import met; those whom it had not met before. Of the others, how they were first stays."""
    met = list(session.scalars(_NOTE, {"import": import_id, "rows": _json(traces)}))
    known = set(met)
    again = {one: trace for one, trace in traces.items() if trace.mark is not None and one not in known}
    if again:
        session.execute(_NOTE_AGAIN, {"import": import_id, "rows": _json(again)})
    return met


def forget_met(session: Session, contact_id: int) -> None:
    """What imports changed of an erased person is no secret copy of them."""
    session.execute(delete(ImportContact).where(ImportContact.contact_id == contact_id))


_ROWS = """jsonb_to_recordset(CAST(:rows AS jsonb)) AS row
    (contact_id bigint, mark bigint, was_created boolean, name_before text, attributes_before jsonb)"""

# The clock, not the transaction's beginning: whoever waited for another import's contact met them after it.
_NOTE = text(f"""
    INSERT INTO import_contacts
        (import_id, contact_id, met_at, mark, was_created, name_before, attributes_before)
    SELECT :import, contact_id, clock_timestamp(), mark, was_created, name_before, attributes_before
    FROM {_ROWS}
    ON CONFLICT DO NOTHING
    RETURNING contact_id
""")  # noqa: S608 – constants of this file only
_NOTE_AGAIN = text(f"""
    UPDATE import_contacts AS met SET mark = row.mark,
        name_before = coalesce(met.name_before, row.name_before),
        attributes_before = row.attributes_before || coalesce(met.attributes_before, '{{}}')
    FROM {_ROWS}
    WHERE met.import_id = :import AND met.contact_id = row.contact_id
""")  # noqa: S608 – constants of this file only


def _json(traces: Mapping[int, Trace]) -> str:
    """One parameter for all; what is empty is left out."""
    rows = []
    for contact_id, trace in traces.items():
        row: dict[str, Any] = {"contact_id": contact_id, "was_created": trace.was_created}
        if trace.mark is not None:
            row["mark"] = trace.mark
        if trace.name_before is not None:
            row["name_before"] = trace.name_before
        if trace.attributes_before is not None:
            row["attributes_before"] = trace.attributes_before
        rows.append(row)
    return json.dumps(rows, ensure_ascii=False)
