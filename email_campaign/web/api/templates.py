"""API: templates: subject, HTML and text that campaigns are made from."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from email_campaign.content import templates
from email_campaign.content.checks import check_content
from email_campaign.content.templates import Template, TemplateDraft
from email_campaign.web.deps import NowDep, PathId, SessionDep
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


@router.post("", status_code=201)
def create_template(session: SessionDep, now: NowDep, wanted: TemplateIn) -> TemplateOut:
    """Save a new template. It is tried out first; a mistake is named with its line."""
    session.commit()  # no connection of the pool waits idle while it is tried out
    draft = templates.check(TemplateDraft(**wanted.model_dump()))
    made = templates.create_template(session, draft, now)
    session.commit()
    return TemplateOut.read(made)


@router.get("/{template_id}")
def show_template(session: SessionDep, template_id: PathId) -> TemplateOut:
    """A template, also an archived one, with warnings about its content."""
    return TemplateOut.read(templates.get_template(session, template_id))


@router.patch("/{template_id}")
def change_template(session: SessionDep, now: NowDep, template_id: PathId, wanted: TemplatePatch) -> TemplateOut:
    """Change what is given. Campaigns that were launched keep the words that they had."""
    written = templates.get_live_template(session, template_id)
    fields = {name: getattr(written, name) for name in TemplatePatch.model_fields}
    session.commit()  # as in create_template
    draft = templates.check(TemplateDraft(**fields | wanted.model_dump(exclude_unset=True)))
    changed = templates.change_template(session, template_id, draft, now)
    session.commit()
    return TemplateOut.read(changed)


@router.delete("/{template_id}", status_code=204)
def archive_template(session: SessionDep, now: NowDep, template_id: PathId) -> None:
    """Take it out of use; its name is free again. Safe to repeat."""
    templates.archive_template(session, template_id, now)
    session.commit()
