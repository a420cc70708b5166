"""Pages: the words of a campaign, as any contact reads them."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign.audience.contacts import Contact, checked_address
from email_campaign.campaigns import campaigns
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.content.frame import Theme
from email_campaign.content.versions import ContentVersion
from email_campaign.delivery.preview import SOMEBODY, preview_campaign, recipient_of, sample_recipient
from email_campaign.errors import Invalid
from email_campaign.reports.mails import launched_mail
from email_campaign.reports.progress import progress
from email_campaign.reports.reasons import not_reached
from email_campaign.web.deps import NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.pages import mail_frame_response, render

router = APIRouter(prefix="/campaigns/{campaign_id}")

ContactQuery = Annotated[str, Query(max_length=300)]


@router.get("/content")
def show_content(
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    now: NowDep,
    campaign_id: PathId,
    contact: ContactQuery = "",
) -> Response:
    """The words of a launched campaign, frozen, as any contact reads them."""
    campaign = campaigns.get(session, campaign_id)
    mail, problem = None, ""
    try:
        mail = launched_mail(session, campaign.mailing, recipient_for(session, campaign, contact), settings, now)
    except Invalid as error:
        problem = error.message
    return render(
        request,
        "admin/campaigns/content.html",
        campaign=campaign,
        version=session.get_one(ContentVersion, campaign.mailing.content_version_id),
        going=progress(session, campaign.mailing, now),
        not_reached=not_reached,
        mail=mail,
        problem=problem,
        contact=contact,
    )


@router.get("/mail")
def mail_frame(
    session: SessionDep,
    settings: SettingsDep,
    now: NowDep,
    campaign_id: PathId,
    contact: ContactQuery = "",
    theme: Theme = "light",
) -> Response:
    """The HTML of the campaign's mail for the frame: the words as they are now, or as they were launched."""
    campaign = campaigns.get(session, campaign_id)
    recipient = recipient_for(session, campaign, contact)
    if campaign.mailing.content_version_id is None:
        html = preview_campaign(session, campaign, recipient, settings, now).html
    else:
        html = launched_mail(session, campaign.mailing, recipient, settings, now).html
    return mail_frame_response(html or "", theme)


def find_contact(session: Session, address: str) -> Contact:
    """The contact with this address. Raises Invalid that names the field `contact`."""
    try:
        normal = checked_address(address)
    except Invalid as error:
        raise Invalid.field("contact", error.message) from error
    found = session.scalars(select(Contact).where(Contact.address == normal)).one_or_none()
    if found is None:
        raise Invalid.field("contact", f"There is no contact {normal}.")
    return found


def recipient_for(session: Session, campaign: Campaign, contact: str) -> Mapping[str, Any]:
    """The chosen contact's variables, else those of somebody of the audience."""
    if contact.strip():
        return recipient_of(find_contact(session, contact))
    return sample_recipient(session, campaign.mailing.list_ids) or SOMEBODY
