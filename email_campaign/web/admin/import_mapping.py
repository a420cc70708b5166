"""Pages: the draft of an import. Is the file read as it was meant?"""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign import queue
from email_campaign.audience import import_drafts as drafts
from email_campaign.audience import imports
from email_campaign.audience.import_mapping import (
    ADDRESS,
    DELIMITER_NAMES,
    ENCODINGS,
    FIRST_NAME,
    LAST_NAME,
    LEFT_OUT,
    NAME,
    FileMapping,
    check_reading,
    width_of,
)
from email_campaign.audience.import_preview import Column, columns_of, detect, first_people, propose, sample
from email_campaign.audience.imports import Import
from email_campaign.audience.lists import MailingList
from email_campaign.content.templates import Template
from email_campaign.errors import FieldProblem, Invalid
from email_campaign.settings import Settings
from email_campaign.web.deps import NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.forms import Form, FormDep
from email_campaign.web.pages import redirect, refuse_form, render

PAGE = "admin/imports/mapping.html"
HERE = "/admin/imports"
COLUMNS_SHOWN = 200
"""Of a wider file those columns are shown too that become something; the others are left out."""
DELIMITERS: Mapping[str, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
ATTRIBUTE = "attribute"
ROLES = (ADDRESS, NAME, FIRST_NAME, LAST_NAME)

router = APIRouter(prefix="/imports")


def show_draft(request: Request, session: Session, import_id: int, settings: Settings) -> Response:
    """How the file is read, with its first rows."""
    draft = imports.get_import(session, import_id)
    mapping = drafts.mapping_of(draft)
    context = _context(session, draft, mapping, settings)
    return render(
        request, PAGE, values=_values(draft, mapping, context["columns"]), errors={}, form_error="", **context
    )


@router.post("/{import_id}/mapping")
def choose_mapping(
    request: Request, session: SessionDep, settings: SettingsDep, import_id: PathId, form: FormDep, now: NowDep
) -> Response:
    """Read the file anew, or import it as it is read."""
    draft = imports.get_import(session, import_id)
    before = drafts.mapping_of(draft)
    try:
        width = width_of(sample(session, import_id, before, settings), has_header=before.has_header)
        chosen = _chosen(form, width)
        drafts.choose_welcome(session, import_id, sends=bool(form["sends_welcome"]))
        if not chosen.reads_as(before):
            drafts.change_mapping(session, import_id, propose(session, import_id, chosen, settings))
            session.commit()
            said = "" if form["then"] == "read" else "The file is read in another way now: look at its columns again."
            return redirect(request, f"{HERE}/{import_id}", said, "warning")
        drafts.change_mapping(session, import_id, chosen)
        if form["then"] == "start":
            drafts.start_draft(session, import_id, settings, now)
    except Invalid as error:
        session.rollback()
        return refuse_form(request, PAGE, form, error, **_context(session, draft, before, settings))
    session.commit()
    if form["then"] == "start":
        queue.nudge(queue.CHECK, import_id)
    return redirect(request, f"{HERE}/{import_id}")


@router.post("/{import_id}/discard")
def discard_draft(request: Request, session: SessionDep, import_id: PathId) -> Response:
    """Drop the draft with its file."""
    drafts.discard_draft(session, import_id)
    session.commit()
    return redirect(request, HERE, "The file is gone; nothing of it was imported.")


def _context(session: Session, draft: Import, mapping: FileMapping, settings: Settings) -> dict[str, Any]:
    rows = sample(session, draft.id, mapping, settings)
    columns = columns_of(rows, mapping)
    shown = [column for column in columns if column.number <= COLUMNS_SHOWN or column.becomes != LEFT_OUT]
    into = session.get(MailingList, draft.list_id) if draft.list_id else None
    return {
        "one": draft,
        "list": into,
        "welcome": session.get(Template, into.welcome_template_id) if into and into.welcome_template_id else None,
        "columns": shown,
        "hidden_count": len(columns) - len(shown),
        "people": first_people(rows, mapping, settings),
        "found": _found(detect(session, draft.id, settings)),
        "delimiters": [(word, DELIMITER_NAMES[sign]) for word, sign in DELIMITERS.items()],
        "encodings": list(ENCODINGS.items()),
        "roles": ROLES,
        "kept_hours": imports.DRAFT_KEPT_HOURS,
    }


def _found(mapping: FileMapping) -> dict[str, str]:
    return {
        "delimiter": DELIMITER_NAMES[mapping.delimiter],
        "encoding": ENCODINGS[mapping.encoding],
        "has_header": "names of columns" if mapping.has_header else "an address in it",
    }


def _values(draft: Import, mapping: FileMapping, columns: Sequence[Column]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "sends_welcome": draft.sends_welcome,
        "delimiter": next(word for word, sign in DELIMITERS.items() if sign == mapping.delimiter),
        "encoding": mapping.encoding,
        "has_header": mapping.has_header,
    }
    for column in columns:
        is_attribute = column.becomes not in (LEFT_OUT, *ROLES)
        values[f"column_{column.number}"] = ATTRIBUTE if is_attribute else column.becomes
        values[f"attribute_{column.number}"] = column.becomes if is_attribute else ""
    return values


def _chosen(form: Form, width: int) -> FileMapping:
    """What the form says. Columns that it does not show are left out. Raises Invalid."""
    delimiter = DELIMITERS.get(form["delimiter"], "")
    check_reading(delimiter, form["encoding"])
    columns, problems = [], []
    for number in range(1, width + 1):
        role = form[f"column_{number}"]
        name = form[f"attribute_{number}"]
        if role == ATTRIBUTE and not name:
            problems.append(FieldProblem(f"column_{number}", "Name the attribute, as in city."))
        if role == ATTRIBUTE and name in ROLES:
            problems.append(FieldProblem(f"column_{number}", f"Choose “{name}” itself: no attribute is called so."))
        columns.append(name if role == ATTRIBUTE else role)
    if problems:
        raise Invalid(problems[0].message, problems)
    return FileMapping(delimiter, form["encoding"], bool(form["has_header"]), columns)
