"""Campaigns: one message, one audience, one moment – written, planned, paused and cancelled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ARRAY, BigInteger, ForeignKey, Index, Select, func, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from email_campaign.address import BadAddress, normalise
from email_campaign.audience.lists import MailingList
from email_campaign.campaigns import limits
from email_campaign.campaigns.limits import RateLimits
from email_campaign.campaigns.mailings import (
    Mailing,
    MailingKind,
    MailingState,
    UnknownPolicy,
    get_for_update,
    move,
    note,
    stop_bodies,
)
from email_campaign.content.attachments import hold
from email_campaign.content.templates import Template
from email_campaign.db import Base, CreatedAt
from email_campaign.errors import Conflict, FieldProblem, Invalid, NotFound

NAME_CHARACTERS = 200
EDITABLE = frozenset({MailingState.DRAFT, MailingState.SCHEDULED, MailingState.FAILED})
FURTHEST_SCHEDULE = timedelta(days=2 * 365)


class Campaign(Base):
    """What people write and launch. It shares its id with its mailing, which holds state, sender and audience."""

    __tablename__ = "campaigns"
    __table_args__ = (Index("ix_campaigns_due", "scheduled_at", postgresql_where=text("scheduled_at IS NOT NULL")),)

    id: Mapped[int] = mapped_column(ForeignKey("mailings.id"), primary_key=True, autoincrement=False)
    name: Mapped[str]
    template_id: Mapped[int | None] = mapped_column(ForeignKey("templates.id"))
    attachment_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default="{}")
    scheduled_at: Mapped[datetime | None]
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    mailing: Mapped[Mailing] = relationship(foreign_keys="Campaign.id", lazy="joined", innerjoin=True)


@dataclass(frozen=True, slots=True)
class Draft:
    """What people write into a campaign. Only a name and a sender are needed until it is launched."""

    name: str
    from_address: str
    template_id: int | None = None
    list_ids: Sequence[int] = ()
    from_name: str = ""
    reply_to: str = ""
    limits: RateLimits = ()
    unknown_policy: UnknownPolicy = UnknownPolicy.HOLD
    attachment_ids: Sequence[int] = ()


def create(session: Session, draft: Draft, *, created_by: int | None, actor: str) -> Campaign:
    """A new draft. Raises Invalid."""
    draft = _checked(session, draft)
    mailing = Mailing(kind=MailingKind.CAMPAIGN, state=MailingState.DRAFT, from_address=draft.from_address)
    session.add(mailing)
    session.flush()
    campaign = Campaign(id=mailing.id, name=draft.name, created_by=created_by, mailing=mailing)
    session.add(campaign)
    _write(campaign, draft)
    note(session, mailing.id, actor=actor, kind="created")
    session.flush()
    return campaign


def change(session: Session, campaign_id: int, draft: Draft, *, now: datetime) -> Campaign:
    """Write a campaign anew that is not launched yet. Raises NotFound, Conflict, Invalid."""
    campaign = get_locked(session, campaign_id)
    _refuse_launched(campaign)
    _write(campaign, _checked(session, draft))
    campaign.updated_at = now
    return campaign


def attach_only(session: Session, campaign: Campaign, attachment_ids: Sequence[int], now: datetime) -> Campaign:
    """Let a campaign (locked by the caller) that is not launched yet carry these files. Raises Conflict, Invalid."""
    _refuse_launched(campaign)
    campaign.attachment_ids = [one.id for one in hold(session, attachment_ids)]
    campaign.updated_at = now
    session.flush()
    return campaign


def change_limits(session: Session, campaign_id: int, wanted: RateLimits) -> Campaign:
    """How fast it may go (none: as fast as the relay may); also while it is sending. Raises NotFound, Invalid."""
    campaign = get_locked(session, campaign_id)
    if problems := limits.problems_of(wanted):
        raise Invalid("The limits cannot be saved.", problems)
    campaign.mailing.limits = limits.in_order(wanted)
    return campaign


def copy(session: Session, campaign_id: int, *, created_by: int | None, actor: str) -> Campaign:
    """A new draft with the same words, attachments, sender and lists."""
    original = get(session, campaign_id)
    copied = draft_of(original)
    name = f"{copied.name} (copy)"[:NAME_CHARACTERS]
    live = set(session.scalars(select(MailingList.id).where(MailingList.archived_at.is_(None))))
    lists = tuple(list_id for list_id in copied.list_ids if list_id in live)
    return create(session, replace(copied, name=name, list_ids=lists), created_by=created_by, actor=actor)


def delete_draft(session: Session, campaign_id: int) -> None:
    """Remove a campaign that was never launched. Raises NotFound, Conflict."""
    campaign = get_locked(session, campaign_id)
    if campaign.mailing.launched_at is not None:
        raise Conflict("A campaign that was launched stays, with its log; it can be cancelled.")
    tests = session.scalars(select(Mailing).where(Mailing.campaign_id == campaign_id)).all()
    for test in tests:
        test.campaign_id = None
    mailing = campaign.mailing
    session.delete(campaign)
    session.flush()
    session.delete(mailing)


def schedule(session: Session, campaign_id: int, at: datetime, *, actor: str, now: datetime) -> Campaign:
    """Launch it by itself at this time. What the launch will need is checked then, and now by `launching.problems`."""
    campaign = get_locked(session, campaign_id)
    if at.tzinfo is None:
        raise Invalid.field("scheduled_at", "Give the time with its zone, such as 2030-01-31T09:00:00+01:00.")
    if not now < at <= now + FURTHEST_SCHEDULE:
        raise Invalid.field("scheduled_at", "Give a time in the future, at most two years from now.")
    move(session, campaign.mailing, MailingState.SCHEDULED, actor=actor, detail=at.isoformat())
    campaign.scheduled_at = at
    return campaign


def unschedule(session: Session, campaign_id: int, *, actor: str) -> Campaign:
    """Back to draft, also after a due launch was refused."""
    campaign = get_locked(session, campaign_id)
    move(session, campaign.mailing, MailingState.DRAFT, actor=actor)
    campaign.scheduled_at, campaign.mailing.failure = None, None
    return campaign


def pause(session: Session, campaign_id: int, *, actor: str) -> Campaign:
    """No body begins once this is committed, but for those whose INTENT was: one a connection at most."""
    stop_bodies(session, campaign_id)
    campaign = get_locked(session, campaign_id)
    move(session, campaign.mailing, MailingState.PAUSED, actor=actor)
    return campaign


def resume(session: Session, campaign_id: int, *, actor: str) -> Campaign:
    """Go on where it was paused."""
    campaign = get_locked(session, campaign_id)
    if campaign.mailing.state is not MailingState.PAUSED:
        raise Conflict(f"A campaign that is {campaign.mailing.state} cannot be resumed.")
    move(session, campaign.mailing, MailingState.SENDING, actor=actor)
    return campaign


def cancel(session: Session, campaign_id: int, *, actor: str) -> Campaign:
    """For good: what has not gone out does not go out. Its rows follow within a sweep."""
    stop_bodies(session, campaign_id)
    campaign = get_locked(session, campaign_id)
    move(session, campaign.mailing, MailingState.CANCELLED, actor=actor)
    campaign.scheduled_at = None
    return campaign


def get(session: Session, campaign_id: int) -> Campaign:
    """Raises NotFound."""
    campaign = session.get(Campaign, campaign_id)
    if campaign is None:
        raise NotFound(f"There is no campaign {campaign_id}.")
    return campaign


def get_locked(session: Session, campaign_id: int) -> Campaign:
    """The campaign with its mailing under a row lock, both read afresh. Raises NotFound."""
    campaign = get(session, campaign_id)
    get_for_update(session, campaign_id)
    session.refresh(campaign, ["name", "template_id", "attachment_ids", "scheduled_at"])
    return campaign


def matching(states: Sequence[MailingState] = (), term: str = "") -> Select[Campaign]:
    """Campaigns in these states (none: all) whose name contains the term."""
    query = select(Campaign).join(Campaign.mailing)
    if states:
        query = query.where(Mailing.state.in_(states))
    if term.strip():
        query = query.where(Campaign.name.icontains(term.strip(), autoescape=True))
    return query


def draft_of(campaign: Campaign) -> Draft:
    """What was written into the campaign."""
    mailing = campaign.mailing
    return Draft(
        name=campaign.name,
        from_address=mailing.from_address,
        template_id=campaign.template_id,
        list_ids=tuple(mailing.list_ids),
        from_name=mailing.from_name,
        reply_to=mailing.reply_to,
        limits=mailing.limits,
        unknown_policy=mailing.unknown_policy,
        attachment_ids=tuple(campaign.attachment_ids),
    )


def _refuse_launched(campaign: Campaign) -> None:
    if campaign.mailing.state not in EDITABLE:
        raise Conflict(f"A campaign that is {campaign.mailing.state} cannot be changed; copy it to write a new one.")


def _write(campaign: Campaign, draft: Draft) -> None:
    mailing = campaign.mailing
    campaign.name, campaign.template_id = draft.name, draft.template_id
    mailing.from_name, mailing.from_address, mailing.reply_to = draft.from_name, draft.from_address, draft.reply_to
    mailing.list_ids = list(draft.list_ids)
    mailing.limits = draft.limits
    mailing.unknown_policy = draft.unknown_policy
    campaign.attachment_ids = list(draft.attachment_ids)


def _checked(session: Session, draft: Draft) -> Draft:
    """The draft in the spelling that is stored. Raises Invalid with every wrong field."""
    problems = limits.problems_of(draft.limits)
    name = " ".join(draft.name.split())
    if not 1 <= len(name) <= NAME_CHARACTERS or not name.isprintable():
        problems.append(FieldProblem("name", f"Give a name of 1 to {NAME_CHARACTERS} characters that can be shown."))
    if any(not character.isprintable() for character in draft.from_name) or len(draft.from_name) > NAME_CHARACTERS:
        problems.append(FieldProblem("from_name", f"Give a name on one line, of at most {NAME_CHARACTERS} characters."))
    from_address = _checked_address("from_address", draft.from_address, problems)
    reply_to = _checked_address("reply_to", draft.reply_to, problems) if draft.reply_to.strip() else ""
    if draft.template_id is not None and not _is_live(session, Template, draft.template_id):
        problems.append(FieldProblem("template_id", "This template does not exist (any more); choose another one."))
    list_ids = tuple(dict.fromkeys(draft.list_ids))
    if not all(_is_live(session, MailingList, list_id) for list_id in list_ids):
        problems.append(FieldProblem("list_ids", "One of the lists does not exist (any more); choose again."))
    attachment_ids: list[int] = []
    try:
        attachment_ids = [one.id for one in hold(session, draft.attachment_ids)]
    except Invalid as error:
        problems += error.problems
    if problems:
        raise Invalid("The campaign cannot be saved.", problems)
    return replace(
        draft,
        name=name,
        from_name=draft.from_name.strip(),
        from_address=from_address,
        reply_to=reply_to,
        list_ids=list_ids,
        limits=limits.in_order(draft.limits),
        attachment_ids=attachment_ids,
    )


def _checked_address(field: str, text_: str, problems: list[FieldProblem]) -> str:
    try:
        return normalise(text_)
    except BadAddress as error:
        problems.append(FieldProblem(field, str(error)))
        return ""


def _is_live(session: Session, table: type[Template] | type[MailingList], row_id: int) -> bool:
    if not 0 < row_id < 2**63:
        return False
    return session.scalar(select(table.id).where(table.id == row_id, table.archived_at.is_(None))) is not None
