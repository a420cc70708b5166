"""API: previews: the mail that a contact would get, made by the code that sends."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from email_campaign.address import BadAddress
from email_campaign.audience.contacts import Contact
from email_campaign.campaigns import campaigns
from email_campaign.content.templates import get_template
from email_campaign.delivery.preview import (
    Preview,
    Source,
    preview_campaign,
    preview_source,
    recipient_of,
    sample_recipient,
)
from email_campaign.errors import Invalid
from email_campaign.settings import Settings
from email_campaign.web.api.attachments import AttachmentOut
from email_campaign.web.api.campaigns import RowId
from email_campaign.web.api.templates import WarningOut, warnings_of
from email_campaign.web.deps import NowDep, PathId, SessionDep, SettingsDep

router = APIRouter()


class CampaignPreviewIn(BaseModel):
    """For whom."""

    model_config = ConfigDict(extra="forbid")

    contact_id: Annotated[RowId | None, Field(description="Somebody of the audience if left out.")] = None


class TemplatePreviewIn(CampaignPreviewIn):
    """For whom: a contact, or made-up variables (which win)."""

    contact_id: Annotated[RowId | None, Field(description="Any contact if left out.")] = None
    variables: Annotated[dict[str, Any], Field(examples=[{"name": "Ada", "plan": "gold"}])] = {}


class SourcePreviewIn(TemplatePreviewIn):
    """What was written and not saved yet, and for whom."""

    subject: Annotated[str, Field(examples=["Hello {{ name }}"])]
    html: str = ""
    text: str = ""


class HeaderOut(BaseModel):
    """A header of the mail, decoded."""

    name: str
    value: str


class PreviewOut(BaseModel):
    """A mail as it would leave. Its links and its Message-ID stand for nobody."""

    to: str
    subject: str
    text: str
    html: str | None
    headers: list[HeaderOut]
    source: str = Field(description="The mail itself, as it goes over the wire, without the bytes of its attachments.")
    attachments: list[AttachmentOut]
    warnings: list[WarningOut]


@router.post("/campaigns/{campaign_id}/preview", tags=["campaigns"])
def preview_of_campaign(
    session: SessionDep, settings: SettingsDep, now: NowDep, campaign_id: PathId, wanted: CampaignPreviewIn
) -> PreviewOut:
    """The campaign's mail to one contact. A mistake is named with field, line and variable."""
    campaign = campaigns.get(session, campaign_id)
    recipient = _recipient(session, wanted.contact_id, campaign.mailing.list_ids)
    made = preview_campaign(session, campaign, recipient, settings, now)
    template = get_template(session, campaign.template_id or 0)
    return _out(made, Source(template.subject, template.html, template.text))


@router.post("/templates/preview", tags=["templates"])
def preview_of_source(session: SessionDep, settings: SettingsDep, now: NowDep, wanted: SourcePreviewIn) -> PreviewOut:
    """The mail that follows from what was written and not saved yet."""
    source = Source(wanted.subject, wanted.html, wanted.text)
    recipient = _recipient(session, wanted.contact_id, []) | wanted.variables
    session.commit()  # no connection of the pool waits idle while it is tried out
    return _out(_preview(source, recipient, settings, now), source)


@router.post("/templates/{template_id}/preview", tags=["templates"])
def preview_of_template(
    session: SessionDep, settings: SettingsDep, now: NowDep, template_id: PathId, wanted: TemplatePreviewIn
) -> PreviewOut:
    """The mail that follows from a saved template."""
    template = get_template(session, template_id)
    source = Source(template.subject, template.html, template.text)
    recipient = _recipient(session, wanted.contact_id, []) | wanted.variables
    session.commit()  # as in preview_of_source
    return _out(_preview(source, recipient, settings, now), source)


def _recipient(session: Session, contact_id: int | None, list_ids: list[int]) -> dict[str, Any]:
    if contact_id is None:
        return dict(sample_recipient(session, list_ids))
    contact = session.get(Contact, contact_id)
    if contact is None:
        raise Invalid.field("contact_id", f"There is no contact {contact_id}.")
    return recipient_of(contact)


def _preview(source: Source, recipient: dict[str, Any], settings: Settings, now: datetime) -> Preview:
    try:
        return preview_source(source, recipient, settings, now)
    except BadAddress as error:
        raise Invalid.field("variables.address", str(error)) from error


def _out(preview: Preview, source: Source) -> PreviewOut:
    return PreviewOut(
        to=preview.to,
        subject=preview.subject,
        text=preview.text,
        html=preview.html,
        headers=[HeaderOut(name=name, value=value) for name, value in preview.headers],
        source=preview.source,
        attachments=[AttachmentOut.model_validate(one) for one in preview.attachments],
        warnings=warnings_of(source.subject, source.html, source.text),
    )
