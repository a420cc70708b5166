"""Preview: the mail that a contact would get, made by the code that sends; and the trial that goes before a launch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from email_campaign.address import normalise
from email_campaign.audience.contacts import Contact
from email_campaign.audience.subscriptions import Subscription, SubscriptionState
from email_campaign.audience.suppressions import Suppression
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import MailingState
from email_campaign.content.attachments import Attachment, attachments_of
from email_campaign.content.language import RenderError, compile_content
from email_campaign.content.templates import Template
from email_campaign.content.trial import try_render
from email_campaign.content.versions import ContentVersion
from email_campaign.db import SessionFactory
from email_campaign.delivery.compose import Letterhead, Press, unsubscribe_url
from email_campaign.delivery.orders import derive_keys, letterhead_of
from email_campaign.errors import FieldProblem, Invalid
from email_campaign.settings import Settings

NO_POSITION = 0
"""Previews stand at a position that no delivery has: their links name nobody."""
SOMEBODY: Mapping[str, Any] = {"name": "Ada Lovelace", "address": "ada@example.org"}
"""Whom a preview is for where no contact was chosen and none is there."""


@dataclass(frozen=True, slots=True)
class Source:
    """Subject, HTML and text as they were written."""

    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class LineProblem(FieldProblem):
    """A wrong field with its line, and the variable that has no value there, where these are known."""

    line: int | None
    variable: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """A mail as it would leave. `html` is None where there is no such part; `source` is the mail itself, with a
    sentence in the place of each attachment."""

    to: str
    subject: str
    text: str
    html: str | None
    headers: list[tuple[str, str]]
    source: str
    attachments: Sequence[Attachment] = ()


def recipient_of(contact: Contact) -> dict[str, Any]:
    """What a template may name of this contact, as the send process reads it."""
    return {**contact.attributes, "name": contact.name, "address": contact.address}


def sample_recipient(session: Session, list_ids: list[int]) -> Mapping[str, Any]:
    """Somebody of the audience of these lists, or of all contacts, else a made-up person."""
    contact = _somebody_of(session, list_ids) if list_ids else session.scalars(select(Contact).limit(1)).first()
    return SOMEBODY if contact is None else recipient_of(contact)


def preview_campaign(
    session: Session, campaign: Campaign, recipient: Mapping[str, Any], settings: Settings, now: datetime
) -> Preview:
    """The campaign's mail to this recipient, with its words as they are now. Raises Invalid, also LineProblems."""
    template = session.get(Template, campaign.template_id) if campaign.template_id else None
    if template is None:
        raise Invalid.field("template_id", "Choose a template first: there is nothing to show yet.")
    version = ContentVersion(
        subject=template.subject,
        html=template.html,
        text=template.text,
        attachment_ids=campaign.attachment_ids,
    )
    letterhead = letterhead_of(session, campaign.mailing, version, settings, is_shown=True)
    return replace(
        _compose(letterhead, recipient, settings, now), attachments=attachments_of(session, campaign.attachment_ids)
    )


def preview_source(source: Source, variables: Mapping[str, Any], settings: Settings, now: datetime) -> Preview:
    """The mail that follows from an unsaved source. It is tried out first, in a process that can be killed.

    Takes some 100 ms: call it without an open transaction. Raises Invalid, also LineProblems; BadAddress.
    """
    recipient = {**SOMEBODY, **variables}
    recipient["address"] = normalise(str(recipient["address"]))
    letterhead = Letterhead(
        mailing_id=0,
        kind="campaign",
        campaign_name="Preview",
        from_name="",
        from_address=settings.mail_from,
        reply_to="",
        list_ids=(),
        list_name="",
        public_url=settings.public_url,
        content=compile_content(source.subject, source.html, source.text),
    )
    _try(source, recipient, letterhead, settings)
    return _compose(letterhead, recipient, settings, now)


def read_mail(to: str, data: bytes) -> Preview:
    """The mail of these bytes as its reader has it."""
    parsed: EmailMessage = message_from_bytes(data, policy=SMTP)
    plain, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
    return Preview(
        to=to,
        subject=str(parsed["Subject"] or ""),
        text=_content(plain) if plain else "",
        html=_content(html) if html else None,
        headers=[(name, str(value)) for name, value in parsed.items()],
        source=data.decode("ascii", "replace"),
    )


def rehearse(factory: SessionFactory, campaign_id: int, settings: Settings) -> None:
    """Before a launch: try the campaign's words out on somebody of its audience, in a process that can be killed.

    Passes over a campaign that cannot be launched for other reasons: the launch itself says which. Takes some 100 ms.
    Raises Invalid that names the variable, the line and the contact.
    """
    with factory() as session:
        campaign = session.get(Campaign, campaign_id)
        template = session.get(Template, campaign.template_id) if campaign and campaign.template_id else None
        if campaign is None or template is None:
            return
        mailing = campaign.mailing
        contact = _somebody_of(session, mailing.list_ids)
        if mailing.state not in {MailingState.DRAFT, MailingState.SCHEDULED} or contact is None:
            return
        source = Source(template.subject, template.html, template.text)
        version = ContentVersion(subject=source.subject, html=source.html, text=source.text, attachment_ids=[])
        letterhead = letterhead_of(session, mailing, version, settings, is_shown=True)
        recipient, who = recipient_of(contact), f"contact {contact.id} ({contact.address})"
    try:
        _try(source, recipient, letterhead, settings)
    except Invalid as error:
        first = error.problems[0] if error.problems else None
        line, variable = (first.line, first.variable) if isinstance(first, LineProblem) else (None, None)
        message = f"The template does not fit {who}. {error.message}"
        raise Invalid(message, [LineProblem("template_id", message, line, variable)]) from error


def _try(source: Source, recipient: Mapping[str, Any], letterhead: Letterhead, settings: Settings) -> None:
    url = unsubscribe_url(letterhead.public_url, derive_keys(settings).unsubscribe, letterhead.mailing_id, NO_POSITION)
    variables = {**recipient, "campaign_name": letterhead.campaign_name, "unsubscribe_url": url}
    try:
        try_render(source.subject, source.html, source.text, variables)
    except RenderError as error:
        raise _explained(error) from error


def _compose(letterhead: Letterhead, recipient: Mapping[str, Any], settings: Settings, now: datetime) -> Preview:
    try:
        message = Press(letterhead, derive_keys(settings)).compose(NO_POSITION, recipient, now)
    except RenderError as error:
        raise _explained(error) from error
    return read_mail(str(recipient["address"]), message.data)


def _content(part: MIMEPart) -> str:
    return str(part.get_content()).replace("\r\n", "\n")


def _explained(error: RenderError) -> Invalid:
    message = error.problems[0].message
    return Invalid(error.message, [LineProblem(error.part, message, error.line, error.variable)])


def _somebody_of(session: Session, list_ids: list[int]) -> Contact | None:
    """Any confirmed contact of these lists who is not suppressed; else any confirmed one."""
    confirmed = (
        select(Contact)
        .join(Subscription, Subscription.contact_id == Contact.id)
        .where(Subscription.list_id.in_(list_ids), Subscription.state == SubscriptionState.CONFIRMED)
        .limit(1)
    )
    suppressed = exists().where(Suppression.address_hash == Contact.address_hash)
    return session.scalars(confirmed.where(~suppressed)).first() or session.scalars(confirmed).first()
