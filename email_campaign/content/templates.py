"""Templates: subject, HTML and text that campaigns are made from."""

from dataclasses import dataclass
from datetime import datetime
from typing import NewType

from sqlalchemy import Index, Select, func, or_, select
from sqlalchemy import text as sql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.content.trial import try_out
from email_campaign.db import Base, BigId, CreatedAt
from email_campaign.errors import Conflict, FieldProblem, Invalid, NotFound

MAX_NAME_CHARACTERS = 120


class Template(Base):
    """What a campaign says, in sandboxed Jinja. A launch freezes it into a `ContentVersion`."""

    __tablename__ = "templates"
    __table_args__ = (
        Index("uq_templates_live_name", sql("lower(name)"), unique=True, postgresql_where=sql("archived_at IS NULL")),
    )

    id: Mapped[BigId]
    name: Mapped[str]
    subject: Mapped[str]
    html: Mapped[str] = mapped_column(server_default="")
    text: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    archived_at: Mapped[datetime | None]


@dataclass(frozen=True, slots=True)
class TemplateDraft:
    """What a person typed."""

    name: str
    subject: str
    html: str = ""
    text: str = ""


CheckedDraft = NewType("CheckedDraft", TemplateDraft)
"""A draft that went through `check`; no other can be saved."""


def check(draft: TemplateDraft) -> CheckedDraft:
    """Try the draft out. Raises Invalid with all its problems.

    Takes some 100 ms in another process: call it before a transaction is open.
    """
    name = " ".join(draft.name.split())
    problems = list(_name_problems(name))
    try:
        try_out(draft.subject, draft.html, draft.text)
    except Invalid as error:
        # What takes too long has no field of its own; the HTML is where loops stand.
        problems += error.problems or [FieldProblem("html" if draft.html.strip() else "text", error.message)]
    if problems:
        raise Invalid("The template was not saved.", problems)
    return CheckedDraft(TemplateDraft(name, draft.subject, draft.html, draft.text))


def create_template(session: Session, draft: CheckedDraft, now: datetime) -> Template:
    """Raises Conflict when a live template has the name."""
    made = Template(
        name=draft.name,
        subject=draft.subject,
        html=draft.html,
        text=draft.text,
        created_at=now,
        updated_at=now,
        archived_at=None,
    )
    session.add(made)
    _flush_name(session, draft.name)
    return made


def change_template(session: Session, template_id: int, draft: CheckedDraft, now: datetime) -> Template:
    """Write the template anew; what was launched before stays as it was. Raises NotFound, Conflict."""
    changed = lock_template(session, template_id)
    _refuse_archived(changed)
    changed.name, changed.subject, changed.html, changed.text = draft.name, draft.subject, draft.html, draft.text
    changed.updated_at = now
    _flush_name(session, draft.name)
    return changed


def archive_template(session: Session, template_id: int, now: datetime) -> Template:
    """Take the template out of use; its name is free again. Safe to repeat. Raises NotFound."""
    archived = get_template(session, template_id)
    archived.archived_at = archived.archived_at or now
    session.flush()
    return archived


def get_template(session: Session, template_id: int) -> Template:
    """Raises NotFound."""
    found = session.get(Template, template_id)
    if found is None:
        raise _no_template(template_id)
    return found


def get_live_template(session: Session, template_id: int) -> Template:
    """As `get_template`; raises Conflict for an archived one."""
    found = get_template(session, template_id)
    _refuse_archived(found)
    return found


def lock_template(session: Session, template_id: int) -> Template:
    """As `get_template`, under a row lock and read afresh: who saves it meanwhile waits."""
    found = session.get(Template, template_id, with_for_update=True, populate_existing=True)
    if found is None:
        raise _no_template(template_id)
    return found


def live_templates(term: str = "") -> Select[Template]:
    """Templates in use with the term in name or subject, whatever the case; unordered. Keyset pages go by id."""
    live = select(Template).where(Template.archived_at.is_(None))
    term = term.replace("\0", "").strip()
    if not term:
        return live
    return live.where(
        or_(Template.name.icontains(term, autoescape=True), Template.subject.icontains(term, autoescape=True))
    )


def _no_template(template_id: int) -> NotFound:
    return NotFound(f"There is no template {template_id}.")


def _refuse_archived(one: Template) -> None:
    if one.archived_at is not None:
        raise Conflict(f"The template “{one.name}” is archived and cannot be changed or used.")


def _name_problems(name: str) -> list[FieldProblem]:
    if not name:
        return [FieldProblem("name", "The template needs a name.")]
    if len(name) > MAX_NAME_CHARACTERS:
        return [FieldProblem("name", f"The name has {len(name):,} characters; at most {MAX_NAME_CHARACTERS} are kept.")]
    if not name.isprintable():
        return [FieldProblem("name", "The name contains a character that cannot be shown.")]
    return []


def _flush_name(session: Session, name: str) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict(f"There is a template “{name}” already; choose another name.") from error
