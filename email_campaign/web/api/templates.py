"""API: templates: subject, HTML and text that campaigns are made from."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from email_campaign.campaigns import welcome_mail
from email_campaign.content import templates
from email_campaign.content.checks import check_content
from email_campaign.content.templates import CheckedDraft, Template, TemplateDraft
from email_campaign.errors import Conflict
from email_campaign.web import written
from email_campaign.web.deps import ApiUser, NowDep, PathId, SessionDep
from email_campaign.web.etags import TAGGED, IfMatchDep, set_etag
from email_campaign.web.idempotency import OnceDep
from email_campaign.web.paging import Page, PageDep, read_page

router = APIRouter(prefix="/templates", tags=["templates"])

EXAMPLE_HTML = '<p>Hello {{ name|default("friend") }}</p>\n<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>'


class TemplateIn(BaseModel):
    """What people write, in Jinja. An empty text is made from the HTML."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(examples=["Spring news"])]
    subject: Annotated[str, Field(examples=["{{ name }}, spring is here"])]
    html: Annotated[str, Field(examples=[EXAMPLE_HTML])] = ""
    text: str = ""


class TemplatePatch(TemplateIn):
    """What is to be changed; the rest stays."""

    name: str = ""
    subject: str = ""


class WarningOut(BaseModel):
    """Something to look at: it can be sent, but it might not be meant."""

    field: Annotated[str, Field(examples=["html"])]
    line: int | None
    message: Annotated[str, Field(examples=["There is no unsubscribe link. Add {{ unsubscribe_url }}."])]


class TemplateRow(BaseModel):
    """A template in a list."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    subject: str
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


class TemplateOut(TemplateRow):
    """A template with what is to be said about it."""

    html: str
    text: str
    warnings: list[WarningOut] = []

    @classmethod
    def read(cls, template: Template) -> Self:
        """The template as it is now."""
        out = cls.model_validate(template)
        out.warnings = warnings_of(template.subject, template.html, template.text)
        return out


def warnings_of(subject: str, html: str, text: str) -> list[WarningOut]:
    """What a careful person would say about these sources."""
    return [WarningOut(**warning._asdict()) for warning in check_content(subject, html, text)]


@router.get("")
def list_templates(
    session: SessionDep,
    page: PageDep,
    q: Annotated[str, Query(max_length=200, description="A piece of name or subject.")] = "",
) -> Page[TemplateRow]:
    """Templates in use, the newest first."""
    rows = read_page(session, templates.live_templates(q), [Template.id], page)
    return Page(items=[TemplateRow.model_validate(template) for template in rows.items], next=rows.next)


def _tried_out(session: SessionDep, _user: ApiUser, wanted: TemplateIn) -> CheckedDraft:
    session.commit()  # no connection of the pool waits idle while it is tried out
    return templates.check(TemplateDraft(**wanted.model_dump()))


# The trial stands before `once`, whose key is locked in the transaction that the template is created in.
@router.post("", status_code=201)
def create_template(
    session: SessionDep, now: NowDep, draft: Annotated[CheckedDraft, Depends(_tried_out)], once: OnceDep
) -> TemplateOut:
    """Save a new template. It is tried out first; a mistake is named with its line."""
    answer = TemplateOut.read(templates.create_template(session, draft, now))
    once.keep(201, answer)
    session.commit()
    return answer


@router.get("/{template_id}", responses=TAGGED)
def show_template(session: SessionDep, template_id: PathId, response: Response) -> TemplateOut:
    """A template, also an archived one, with warnings about its content."""
    one = templates.get_template(session, template_id)
    set_etag(response, written.template(one))
    return TemplateOut.read(one)


@router.patch("/{template_id}", responses=TAGGED)
def change_template(
    session: SessionDep, now: NowDep, if_match: IfMatchDep, template_id: PathId, wanted: TemplatePatch
) -> TemplateOut:
    """Change what is given. Campaigns that were launched keep the words that they had."""
    before = written.template(templates.get_live_template(session, template_id))
    if_match.check(before)
    session.commit()  # as in create_template
    draft = templates.check(TemplateDraft(**{**before, **wanted.model_dump(exclude_unset=True)}))
    current = written.template(templates.lock_template(session, template_id))
    if_match.check(current)
    if current != before:  # what was not given would go back to what it was
        raise Conflict("The template was changed while your words were tried out. Send them again.")
    changed = templates.change_template(session, template_id, draft, now)
    session.commit()
    if_match.answer(written.template(changed))
    return TemplateOut.read(changed)


@router.delete("/{template_id}", status_code=204)
def archive_template(session: SessionDep, now: NowDep, if_match: IfMatchDep, template_id: PathId) -> None:
    """Take it out of use; its name is free again. Safe to repeat."""
    if_match.check(written.template(templates.lock_template(session, template_id)))
    welcome_mail.check_not_welcome(session, template_id)
    templates.archive_template(session, template_id, now)
    session.commit()
