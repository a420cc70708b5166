"""Is it ready? What a person looks at before a campaign goes out: audience, content, relay, test."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from email_campaign.campaigns import launching
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import Mailing, MailingKind
from email_campaign.content.checks import Warn, check_content
from email_campaign.content.templates import Template
from email_campaign.content.versions import ContentVersion
from email_campaign.delivery.deliveries import Delivery, DeliveryState
from email_campaign.delivery.relays import Relay
from email_campaign.errors import FieldProblem


@dataclass(frozen=True, slots=True)
class Test:
    """The last test of a campaign. `state` is None until its copy is enrolled; `is_current`: of the present words
    and attachments."""

    __test__ = False  # pytest takes every class of this name for one of its own

    mailing: Mailing
    state: DeliveryState | None
    is_current: bool


@dataclass(frozen=True, slots=True)
class Readiness:
    """`problems` keep it from being launched; everything else is for people to judge."""

    audience: int
    problems: Sequence[FieldProblem]
    template: Template | None
    warnings: Sequence[Warn]
    relay: Relay
    test: Test | None


def readiness(session: Session, campaign: Campaign) -> Readiness:
    """The campaign as it is written now. Counts its audience: some 50 ms for a million."""
    template = session.get(Template, campaign.template_id) if campaign.template_id else None
    return Readiness(
        audience=launching.audience_count(session, campaign.mailing.list_ids),
        problems=launching.problems(session, campaign),
        template=template,
        warnings=check_content(template.subject, template.html, template.text) if template else (),
        relay=session.get_one(Relay, campaign.mailing.relay_id),
        test=_last_test(session, campaign, template),
    )


def _last_test(session: Session, campaign: Campaign, template: Template | None) -> Test | None:
    query = select(Mailing).where(Mailing.campaign_id == campaign.id, Mailing.kind == MailingKind.TEST)
    mailing = session.scalars(query.order_by(Mailing.id.desc()).limit(1)).first()
    if mailing is None:
        return None
    delivery = session.get(Delivery, (mailing.id, 1))
    words = session.get(ContentVersion, mailing.content_version_id)
    is_current = (
        template is not None
        and words is not None
        and (words.subject, words.html, words.text) == (template.subject, template.html, template.text)
        and words.attachment_ids == campaign.attachment_ids
    )
    return Test(mailing, DeliveryState(delivery.state) if delivery else None, is_current)
