"""Launching: what a campaign needs before it can go, and the moment at which its words and its audience are fixed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from email_campaign.audience.subscriptions import Subscription, SubscriptionState
from email_campaign.campaigns.campaigns import Campaign, get_locked
from email_campaign.campaigns.mailings import (
    IllegalTransition,
    Mailing,
    MailingKind,
    MailingState,
    UnknownPolicy,
    move,
    note,
)
from email_campaign.content.attachments import attachments_of
from email_campaign.content.templates import Template
from email_campaign.content.versions import ContentVersion, freeze
from email_campaign.db import SessionFactory
from email_campaign.errors import DomainError, FieldProblem, Invalid

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a mailing of one goes to: a normalised address, and what the template may name."""

    address: str
    variables: Mapping[str, Any]


def audience_count(session: Session, list_ids: list[int]) -> int:
    """How many contacts are confirmed on at least one of the lists now."""
    if not list_ids:
        return 0
    confirmed = (Subscription.list_id.in_(list_ids), Subscription.state == SubscriptionState.CONFIRMED)
    counted = func.count() if len(list_ids) == 1 else func.count(Subscription.contact_id.distinct())
    return session.scalar(select(counted).select_from(Subscription).where(*confirmed)) or 0


def problems(session: Session, campaign: Campaign) -> list[FieldProblem]:
    """What keeps this campaign from being launched, field by field; empty when nothing does."""
    found = []
    template = session.get(Template, campaign.template_id) if campaign.template_id else None
    if template is None or template.archived_at is not None:
        found.append(FieldProblem("template_id", "Choose a template: there is nothing to send yet."))
    if not campaign.mailing.list_ids:
        found.append(FieldProblem("list_ids", "Choose at least one list: there is nobody to send to yet."))
    elif not _has_audience(session, campaign.mailing.list_ids):
        found.append(
            FieldProblem("list_ids", "Nobody on these lists is confirmed: add or import contacts, or choose another.")
        )
    return found


def launch(session: Session, campaign_id: int, *, actor: str, now: datetime) -> Campaign:
    """Send now: words and audience are those of this moment. What was checked is the caller's to commit and to nudge.

    Raises NotFound, IllegalTransition (a second launch is one of these) and Invalid with what is missing.
    """
    campaign = get_locked(session, campaign_id)
    mailing = campaign.mailing
    if mailing.state not in {MailingState.DRAFT, MailingState.SCHEDULED}:
        raise IllegalTransition(f"A campaign that is {mailing.state} cannot be launched; copy it to send it again.")
    if missing := problems(session, campaign):
        raise Invalid("The campaign cannot be launched yet.", missing)
    move(session, mailing, MailingState.SENDING, actor=actor)
    template = session.get_one(Template, campaign.template_id)
    attachments = attachments_of(session, campaign.attachment_ids)
    mailing.content_version_id = freeze(session, template.subject, template.html, template.text, attachments).id
    mailing.launched_at, mailing.rate_at = now, now
    campaign.scheduled_at = None
    return campaign


def launch_due(factory: SessionFactory, now: datetime) -> list[int]:
    """Launch every campaign whose time has come, however late; the ids of those launched. Two at once are harmless.

    One that cannot be launched becomes failed, with the reason.
    """
    launched = []
    while (campaign_id := _next_due(factory, now)) is not None:
        try:
            with factory.begin() as session:
                if _is_due(get_locked(session, campaign_id), now):
                    launch(session, campaign_id, actor="schedule", now=now)
                    launched.append(campaign_id)
        except DomainError as error:
            _fail(factory, campaign_id, error, now)
    return launched


def send_test(session: Session, campaign: Campaign, recipient: Recipient, *, actor: str, now: datetime) -> Mailing:
    """A mailing of one with the campaign's words and attachments as they are now, to this recipient. Raises Invalid."""
    template = session.get(Template, campaign.template_id) if campaign.template_id else None
    if template is None:
        raise Invalid.field("template_id", "Choose a template first: there is nothing to send yet.")
    attachments = attachments_of(session, campaign.attachment_ids)
    version: ContentVersion = freeze(session, template.subject, template.html, template.text, attachments)
    draft = campaign.mailing
    mailing = Mailing(
        kind=MailingKind.TEST,
        state=MailingState.SENDING,
        campaign_id=campaign.id,
        relay_id=draft.relay_id,
        content_version_id=version.id,
        from_name=draft.from_name,
        from_address=draft.from_address,
        reply_to=draft.reply_to,
        recipient_address=recipient.address,
        recipient_variables=dict(recipient.variables),
        unknown_policy=UnknownPolicy.HOLD,
        launched_at=now,
        rate_at=now,
    )
    session.add(mailing)
    session.flush()
    note(session, mailing.id, actor=actor, kind="sending")
    note(session, campaign.id, actor=actor, kind="test", detail=str(mailing.id))
    return mailing


def _has_audience(session: Session, list_ids: list[int]) -> bool:
    somebody = select(Subscription.contact_id).where(
        Subscription.list_id.in_(list_ids), Subscription.state == SubscriptionState.CONFIRMED
    )
    return session.scalar(somebody.limit(1)) is not None


def _next_due(factory: SessionFactory, now: datetime) -> int | None:
    with factory() as session:
        return session.scalar(
            select(Campaign.id)
            .join(Mailing, Mailing.id == Campaign.id)
            .where(Campaign.scheduled_at <= now, Mailing.state == MailingState.SCHEDULED)
            .order_by(Campaign.scheduled_at)
            .limit(1)
        )


def _is_due(campaign: Campaign, now: datetime) -> bool:
    """Asked under the lock: somebody may have taken it back, or put it off, since it was looked for."""
    at = campaign.scheduled_at
    return campaign.mailing.state is MailingState.SCHEDULED and at is not None and at <= now


def _fail(factory: SessionFactory, campaign_id: int, error: DomainError, now: datetime) -> None:
    with factory.begin() as session:
        campaign = get_locked(session, campaign_id)
        if not _is_due(campaign, now):
            return
        reasons = [problem.message for problem in error.problems] if isinstance(error, Invalid) else []
        campaign.mailing.failure = " ".join(reasons) or error.message
        move(session, campaign.mailing, MailingState.FAILED, actor="schedule", detail=campaign.mailing.failure)
        campaign.scheduled_at = None
        log.warning("campaign %d was due and could not be launched", campaign_id)
