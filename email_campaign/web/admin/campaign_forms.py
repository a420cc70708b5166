"""Pages: writing a campaign, with its mail beside the form as a real contact will have it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign.address import BadAddress, normalise
from email_campaign.audience.lists import MailingList, live_lists, member_counts
from email_campaign.campaigns import campaigns, limits
from email_campaign.campaigns.campaigns import EDITABLE, Campaign, Draft, draft_of
from email_campaign.campaigns.mailings import Mailing, MailingKind, MailingState, UnknownPolicy
from email_campaign.content.templates import Template, live_templates
from email_campaign.delivery.preview import Preview, preview_campaign, recipient_of, sample_recipient
from email_campaign.errors import Conflict, FieldProblem, Invalid
from email_campaign.settings import Settings
from email_campaign.web import written
from email_campaign.web.admin.campaign_attachments import KEPT, NEW, attached, take_files
from email_campaign.web.admin.campaign_content import find_contact
from email_campaign.web.admin.campaigns import HERE, draft_context
from email_campaign.web.collisions import Sides, collide, show_collision
from email_campaign.web.deps import NowDep, PageUser, PathId, SessionDep, SettingsDep
from email_campaign.web.forms import Form, FormDep, whole_number
from email_campaign.web.pages import redirect, refuse_form, render
from email_campaign.web.previews import answer_preview

TEMPLATE = "admin/campaigns/edit.html"
LABELS = {
    "name": "Name",
    "template_id": "Template",
    "list_ids": "Lists",
    "from_name": "Sender's name",
    "from_address": "Sender's address",
    "reply_to": "Reply to",
    "limits": "Mails at most",
    "unknown_policy": "If nobody knows whether a copy arrived",
    KEPT: "Attachments",
    NEW: "Attach files",
}
CHOICES_SHOWN = 500
NO_TEMPLATE = Preview(
    to="",
    subject="Preview",
    text="Choose a template: the mail is shown here.",
    html='<p style="font-family: sans-serif; padding: 16px">Choose a template: the mail is shown here.</p>',
    headers=[],
    source="",
)

router = APIRouter(prefix="/campaigns")


@router.get("/new")
def new_campaign(
    request: Request, session: SessionDep, settings: SettingsDep, template_id: str = "", list_ids: str = ""
) -> Response:
    """An empty form; a template or a list may be chosen beforehand."""
    draft = Draft(name="", from_address=settings.mail_from)
    values = _values(draft) | {"template_id": template_id, "list_ids": [list_ids] if list_ids else []}
    return render(request, TEMPLATE, values=values, errors={}, form_error="", **_choices(session, settings))


@router.post("/new")
def create_campaign(
    request: Request, session: SessionDep, settings: SettingsDep, user: PageUser, form: FormDep
) -> Response:
    """Write a new draft."""
    form, problems = take_files(session, form, settings)
    try:
        made = campaigns.create(session, _read_draft(form, problems), created_by=user.id, actor=user.name)
    except Invalid as error:
        session.rollback()
        return refuse_form(request, TEMPLATE, form, error, **_choices(session, settings, form.all(KEPT)))
    session.commit()
    return redirect(request, f"{HERE}/{made.id}", f"“{made.name}” is saved as a draft.")


@router.get("/{campaign_id}/edit")
def edit_campaign(
    request: Request, session: SessionDep, settings: SettingsDep, now: NowDep, campaign_id: PathId
) -> Response:
    """The form with what was written."""
    campaign = campaigns.get(session, campaign_id)
    if campaign.mailing.state not in EDITABLE:
        raise Conflict(f"A campaign that is {campaign.mailing.state} cannot be changed; copy it to write a new one.")
    draft = draft_of(campaign)
    values = _values(draft) | {"version": written.version_of(written.campaign(draft))}
    context = _context(session, settings, campaign, now)
    return render(request, TEMPLATE, values=values, errors={}, form_error="", **context)


@router.post("/{campaign_id}/edit")
def change_campaign(
    request: Request, session: SessionDep, settings: SettingsDep, now: NowDep, form: FormDep, campaign_id: PathId
) -> Response:
    """Write a campaign anew that is not launched yet."""
    form, problems = take_files(session, form, settings)
    try:
        draft = _read_draft(form, problems)
        saved = draft_of(campaigns.get_locked(session, campaign_id))
        if collision := collide(form["version"], written.campaign(saved), written.campaign(draft)):
            session.rollback()
            context = _context(session, settings, campaigns.get(session, campaign_id), now, form.all(KEPT))
            return show_collision(request, TEMPLATE, collision, _sides(saved, draft, context), **context)
        changed = campaigns.change(session, campaign_id, draft, now=now)
    except Invalid as error:
        session.rollback()
        context = _context(session, settings, campaigns.get(session, campaign_id), now, form.all(KEPT))
        return refuse_form(request, TEMPLATE, form, error, **context)
    session.commit()
    return redirect(request, f"{HERE}/{campaign_id}", f"“{changed.name}” is saved.")


@router.post("/preview")
def preview(request: Request, session: SessionDep, settings: SettingsDep, now: NowDep, form: FormDep) -> Response:
    """The mail that follows from a form that is not saved: JSON for the script, HTML for the frame."""

    def compose() -> Preview:
        return _preview(session, form, settings, now) if form["template_id"] else NO_TEMPLATE

    return answer_preview(request, compose)


def _preview(session: Session, form: Form, settings: Settings, now: datetime) -> Preview:
    """A campaign that is never added to the session is composed by the code that sends."""
    list_ids = _ids(form.all("list_ids"))
    try:
        from_address = normalise(form["from_address"] or settings.mail_from)
        reply_to = normalise(form["reply_to"]) if form["reply_to"] else ""
    except BadAddress as error:
        raise Invalid.field("from_address", str(error)) from error
    mailing = Mailing(
        id=whole_number(form["campaign_id"]) or 0,
        kind=MailingKind.CAMPAIGN,
        state=MailingState.DRAFT,
        from_name=" ".join(form["from_name"].split()),
        from_address=from_address,
        reply_to=reply_to,
        list_ids=list_ids,
    )
    campaign = Campaign(
        id=mailing.id,
        name=form["name"],
        template_id=whole_number(form["template_id"]),
        attachment_ids=[],
        mailing=mailing,
    )
    if form["contact"]:
        recipient = recipient_of(find_contact(session, form["contact"]))
    else:
        recipient = dict(sample_recipient(session, list_ids))
    return preview_campaign(session, campaign, recipient, settings, now)


def _context(
    session: Session, settings: Settings, campaign: Campaign, now: datetime, typed_files: Sequence[str] = ()
) -> dict[str, Any]:
    """The choices, and beside them whether the campaign is ready as it is saved."""
    saved = draft_context(session, settings, campaign, now, "")
    choices = _choices(session, settings, [*map(str, campaign.attachment_ids), *typed_files])
    return saved | choices | {"campaign": campaign, "saved_lists": saved["lists"]}


def _choices(session: Session, settings: Settings, files: Sequence[str] = ()) -> dict[str, Any]:
    lists = session.scalars(live_lists().order_by(MailingList.name).limit(CHOICES_SHOWN)).all()
    members = member_counts(session, [one.id for one in lists])
    templates = session.scalars(live_templates().order_by(Template.name).limit(CHOICES_SHOWN)).all()
    return {
        "campaign": None,
        "labels": LABELS,
        "templates": [(str(one.id), one.name) for one in templates],
        "lists": [(str(one.id), one.name, members[one.id].confirmed) for one in lists],
        "attached": attached(session, files),
        "attachments_max_bytes": settings.attachments_max_bytes,
    }


def _values(draft: Draft) -> dict[str, Any]:
    return {
        "name": draft.name,
        "template_id": draft.template_id or "",
        "list_ids": [str(list_id) for list_id in draft.list_ids],
        "from_name": draft.from_name,
        "from_address": draft.from_address,
        "reply_to": draft.reply_to,
        "limits": limits.spell(draft.limits),
        "unknown_policy": draft.unknown_policy.value,
        KEPT: [str(one) for one in draft.attachment_ids],
    }


def _sides(saved: Draft, typed: Draft, context: Mapping[str, Any]) -> Sides:
    """Both drafts as the form shows them, and what was saved in words."""
    theirs, words = _values(saved), {name: (LABELS[name], str(text)) for name, text in _values(saved).items()}
    template_names = dict(context["templates"])
    list_names = {list_id: name for list_id, name, _ in context["lists"]}
    template = template_names.get(str(saved.template_id), "") if saved.template_id else ""
    words["template_id"] = (LABELS["template_id"], template)
    names = [list_names.get(list_id, f"list {list_id}") for list_id in theirs["list_ids"]]
    words["list_ids"] = (LABELS["list_ids"], ", ".join(names))
    file_names = {str(one.id): one.name for one in context["attached"]}
    words[KEPT] = (LABELS[KEPT], ", ".join(file_names.get(one, f"file {one}") for one in theirs[KEPT]))
    policy = "Hold it, and ask me" if saved.unknown_policy is UnknownPolicy.HOLD else "Send it again"
    words["unknown_policy"] = (LABELS["unknown_policy"], policy)
    return Sides(theirs, _values(typed), words)


def _read_draft(form: Form, problems: Sequence[FieldProblem]) -> Draft:
    """Raises Invalid for files that were refused (`problems`) and for limits that are not understood; everything else
    is checked where drafts are written."""
    if problems:
        raise Invalid("The campaign cannot be saved.", problems)
    return Draft(
        name=form["name"],
        from_address=form["from_address"],
        template_id=whole_number(form["template_id"]),
        list_ids=_ids(form.all("list_ids")),
        from_name=form["from_name"],
        reply_to=form["reply_to"],
        limits=limits.parse(form["limits"]),
        unknown_policy=next((one for one in UnknownPolicy if one == form["unknown_policy"]), UnknownPolicy.HOLD),
        attachment_ids=_ids(form.all(KEPT)),
    )


def _ids(texts: Sequence[str]) -> list[int]:
    return [found for text in texts if (found := whole_number(text)) is not None]
