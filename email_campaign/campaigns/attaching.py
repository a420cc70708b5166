"""Attaching: which files a campaign may carry, how much in all, and what becomes of a file that nobody carries."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import BinaryIO

from sqlalchemy import delete, func, select, union
from sqlalchemy.orm import Session

from email_campaign.campaigns.campaigns import Campaign, attach_only, get_locked
from email_campaign.content.attachments import Attachment, File, attachments_of, keep, total_problem
from email_campaign.content.file_kinds import problem_of, tidy_name, type_of
from email_campaign.content.versions import ContentVersion
from email_campaign.errors import Invalid, NotFound
from email_campaign.settings import Settings

FORGOTTEN_AFTER = timedelta(days=1)
"""A file that was brought and that nothing carries waits so long: its form may have been refused."""
PURGED_AT_ONCE = 100


def bring(session: Session, name: str, stream: BinaryIO, size: int, settings: Settings) -> Attachment:
    """Keep a file, so that a campaign can carry it. Raises Invalid (without a field) for one that none may carry."""
    name = tidy_name(name)
    if problem := problem_of(name, size) or total_problem([(name, size)], settings.attachments_max_bytes):
        raise Invalid(problem)
    return keep(session, File(name, type_of(name), stream.read()))


def attach(session: Session, campaign_id: int, one: Attachment, settings: Settings, now: datetime) -> Campaign:
    """Let a campaign that was not launched carry the file too. Safe to repeat. Raises NotFound, Conflict, Invalid."""
    campaign = get_locked(session, campaign_id)
    carried = attachments_of(session, campaign.attachment_ids)
    if one.id in campaign.attachment_ids:
        return campaign
    if problem := together_problem([*carried, one], settings):
        raise Invalid.field("file", problem)
    return attach_only(session, campaign, [*campaign.attachment_ids, one.id], now)


def detach(session: Session, campaign_id: int, attachment_id: int, now: datetime) -> Campaign:
    """Take a file off a campaign that was not launched. Raises NotFound, Conflict."""
    campaign = get_locked(session, campaign_id)
    find(session, campaign, attachment_id)
    return attach_only(session, campaign, [one for one in campaign.attachment_ids if one != attachment_id], now)


def find(session: Session, campaign: Campaign, attachment_id: int) -> Attachment:
    """The file, if this campaign carries it. Raises NotFound."""
    if attachment_id not in campaign.attachment_ids:
        raise NotFound(f"Campaign {campaign.id} has no attachment {attachment_id}.")
    return session.get_one(Attachment, attachment_id)


def together_problem(carried: Sequence[Attachment], settings: Settings) -> str:
    """Why these files cannot go in one mail, and what to do; empty where they can."""
    return total_problem([(one.name, one.size) for one in carried], settings.attachments_max_bytes)


def purge(session: Session, now: datetime) -> None:
    """Throw away files that nothing carries. Safe to repeat, and at any time: see `attachments.hold`."""
    carried = union(select(func.unnest(Campaign.attachment_ids)), select(func.unnest(ContentVersion.attachment_ids)))
    forgotten = select(Attachment.id).where(Attachment.kept_at < now - FORGOTTEN_AFTER, Attachment.id.not_in(carried))
    ids = session.scalars(forgotten.limit(PURGED_AT_ONCE).with_for_update(skip_locked=True)).all()
    # Asked again by a statement that is younger than the locks: somebody may have let a campaign carry one meanwhile.
    session.execute(delete(Attachment).where(Attachment.id.in_(ids), Attachment.id.not_in(carried)))
