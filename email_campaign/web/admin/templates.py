"""Pages: templates, written with a live preview as a real contact."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign.audience.contacts import Contact
from email_campaign.audience.variables import attributes_in_use, sample_size
from email_campaign.campaigns import welcome_mail
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.content import templates
from email_campaign.content.checks import check_content
from email_campaign.content.templates import CheckedDraft, Template, TemplateDraft
from email_campaign.delivery.preview import Preview, Source, preview_source, recipient_of, sample_recipient
from email_campaign.errors import Conflict, Invalid
from email_campaign.reports.queries import counts_of
from email_campaign.reports.reasons import not_reached
from email_campaign.web import written
from email_campaign.web.admin.campaign_content import find_contact
from email_campaign.web.admin.images import recent_images
from email_campaign.web.admin.listing import read_listing
from email_campaign.web.collisions import Collision, Sides, collide, show_collision
from email_campaign.web.deps import NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.forms import Form, FormDep
from email_campaign.web.pages import redirect, refuse_form, render
from email_campaign.web.paging import PageDep
from email_campaign.web.previews import answer_preview

LIST = "admin/templates/list.html"
EDIT = "admin/templates/edit.html"
HERE = "/admin/templates"
CONTACTS_OFFERED = 20
CAMPAIGNS_SHOWN = 10
LABELS = {"name": "Name", "subject": "Subject", "html": "HTML", "text": "Text"}
START_HTML = """<p>Hello {{ name|default("there") }},</p>

<p></p>

<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>
"""
"""What a new template begins with: nobody should have to remember the unsubscribe link."""

router = APIRouter(prefix="/templates")


@router.get("")
def list_templates(
    request: Request, session: SessionDep, page: PageDep, q: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Templates in use, the newest first."""
    is_filtered = bool(q.strip())
    listing = read_listing(request, session, templates.live_templates(q), [Template.id], page, is_filtered=is_filtered)
    return render(request, LIST, listing=listing, q=q.strip())


@router.get("/new")
def new_template(
    request: Request, session: SessionDep, copy: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None
) -> Response:
    """The form, empty or with the words of another template."""
    if copy is None:
        values = {"html": START_HTML}
    else:
        other = templates.get_template(session, copy)
        values = {"name": "", "subject": other.subject, "html": other.html, "text": other.text}
    return render(request, EDIT, values=values, errors={}, form_error="", **_context(request, session, None))


@router.post("/new")
def create_template(request: Request, session: SessionDep, form: FormDep, now: NowDep) -> Response:
    """Save a new template, once it was tried out."""
    session.commit()  # no connection of the pool waits idle while it is tried out
    try:
        made = templates.create_template(session, templates.check(_draft(form)), now)
    except (Invalid, Conflict) as error:
        return _refuse(request, session, form, error, None)
    session.commit()
    return redirect(request, f"{HERE}/{made.id}", f"The template “{made.name}” was saved.")


@router.post("/preview")
def preview(request: Request, session: SessionDep, settings: SettingsDep, form: FormDep, now: NowDep) -> Response:
    """The mail that follows from what is typed: subject and text as JSON for a script, else its HTML for the frame."""

    def compose() -> Preview:
        address = form["contact"]
        recipient = recipient_of(find_contact(session, address)) if address else dict(sample_recipient(session, []))
        session.commit()  # as in create_template
        source = Source(_unix(form.raw("subject")), _unix(form.raw("html")), _unix(form.raw("text")))
        return preview_source(source, recipient, settings, now)

    return answer_preview(request, compose)


@router.get("/{template_id}")
def edit_template(request: Request, session: SessionDep, template_id: PathId) -> Response:
    """A template in its form."""
    one = templates.get_template(session, template_id)
    fields = written.template(one)
    values = {**fields, "version": written.version_of(fields)}
    return render(request, EDIT, values=values, errors={}, form_error="", **_context(request, session, one))


@router.post("/{template_id}")
def change_template(request: Request, session: SessionDep, template_id: PathId, form: FormDep, now: NowDep) -> Response:
    """Save a template anew, once it was tried out."""
    one = templates.get_live_template(session, template_id)
    session.commit()  # as in create_template
    try:
        draft = templates.check(_draft(form))
        saved = templates.lock_template(session, template_id)
        if collision := collide(form["version"], written.template(saved), written.template(draft)):
            return _collide(request, session, collision, saved, draft)
        changed = templates.change_template(session, template_id, draft, now)
    except (Invalid, Conflict) as error:
        return _refuse(request, session, form, error, one)
    session.commit()
    return redirect(request, f"{HERE}/{template_id}", f"The template “{changed.name}” was saved.")


@router.post("/{template_id}/archive")
def archive_template(request: Request, session: SessionDep, template_id: PathId, now: NowDep) -> Response:
    """Take a template out of use."""
    welcome_mail.check_not_welcome(session, template_id)
    archived = templates.archive_template(session, template_id, now)
    session.commit()
    return redirect(request, HERE, f"The template “{archived.name}” was archived.")


def _draft(form: Form) -> TemplateDraft:
    return TemplateDraft(form["name"], _unix(form["subject"]), _unix(form.raw("html")), _unix(form.raw("text")))


def _unix(text: str) -> str:
    """A browser posts line ends as CRLF (WHATWG, HTML 4.10.21.8); what is stored has one character a line end."""
    return text.replace("\r\n", "\n")


def _refuse(
    request: Request, session: Session, form: Form, error: Invalid | Conflict, one: Template | None
) -> Response:
    session.rollback()
    problem = error if isinstance(error, Invalid) else Invalid.field("name", error.message)
    fresh = templates.get_template(session, one.id) if one else None
    return refuse_form(request, EDIT, form, problem, **_context(request, session, fresh))


def _collide(
    request: Request, session: Session, collision: Collision, saved: Template, draft: CheckedDraft
) -> Response:
    theirs = written.template(saved)
    session.rollback()
    words = {name: (LABELS[name], text) for name, text in theirs.items()}
    sides = Sides(saved=theirs, typed=written.template(draft), words=words)
    context = _context(request, session, templates.get_template(session, saved.id))
    return show_collision(request, EDIT, collision, sides, **context)


def _context(request: Request, session: Session, one: Template | None) -> dict[str, Any]:
    offered = session.scalars(select(Contact).order_by(Contact.id.desc()).limit(CONTACTS_OFFERED)).all()
    used_by = _campaigns_of(session, one) if one else []
    counts = counts_of(session, [campaign.id for campaign in used_by])
    return {
        "saved": one,
        "warnings": check_content(one.subject, one.html, one.text) if one else [],
        "variables": attributes_in_use(session),
        "sample": sample_size(session),
        "contacts": offered,
        "images": recent_images(session, request.app.state.settings),
        "campaigns": [(campaign, not_reached(counts[campaign.id])) for campaign in used_by],
    }


def _campaigns_of(session: Session, one: Template) -> Sequence[Campaign]:
    made_from_it = select(Campaign).where(Campaign.template_id == one.id)
    return session.scalars(made_from_it.order_by(Campaign.id.desc()).limit(CAMPAIGNS_SHOWN)).all()
