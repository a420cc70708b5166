"""Mailings: what a delivery belongs to, of whatever kind, with its state, its lawful moves and its timeline."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ForeignKey, Index, Integer, Text, cast, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.campaigns.limits import RateLimits, RateLimitsColumn
from email_campaign.db import Base, BigId, CreatedAt, text_enum
from email_campaign.errors import Conflict, NotFound


class MailingKind(enum.StrEnum):
    """Why mail leaves. A test or a system mail is a mailing of one that carries its recipient itself; a transactional
    one stands, and its recipients come one by one."""

    CAMPAIGN = "campaign"
    TEST = "test"
    SYSTEM = "system"
    TRANSACTIONAL = "transactional"


OF_ONE = frozenset({MailingKind.TEST, MailingKind.SYSTEM})
"""A person waits for these: they go out of turn."""


class MailingState(enum.StrEnum):
    """
    draft ⇄ scheduled      written, not yet launched; a schedule can be taken back
    draft, scheduled → sending      launched: the audience is fixed at this moment
    scheduled → failed → draft      a due launch was refused, the reason stands beside it; mended by hand
    sending ⇄ paused
    sending → finished → sending    nothing is left to do; a retry or a late answer opens it again
    draft, scheduled, sending, paused → cancelled
    """

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


LAWFUL_MOVES: dict[MailingState, frozenset[MailingState]] = {
    MailingState.DRAFT: frozenset({MailingState.SCHEDULED, MailingState.SENDING, MailingState.CANCELLED}),
    MailingState.SCHEDULED: frozenset(
        {MailingState.DRAFT, MailingState.SCHEDULED, MailingState.SENDING, MailingState.FAILED, MailingState.CANCELLED}
    ),
    MailingState.SENDING: frozenset({MailingState.PAUSED, MailingState.FINISHED, MailingState.CANCELLED}),
    MailingState.PAUSED: frozenset({MailingState.SENDING, MailingState.CANCELLED}),
    MailingState.FINISHED: frozenset({MailingState.SENDING}),
    MailingState.FAILED: frozenset({MailingState.DRAFT}),
    MailingState.CANCELLED: frozenset(),
}


class UnknownPolicy(enum.StrEnum):
    """What happens to a copy of which nobody can say whether it was taken (RFC 1047)."""

    HOLD = "hold"
    RESEND = "resend"


class IllegalTransition(Conflict):
    """The move is not lawful from the present state."""


BUSY = "state IN ('sending', 'paused', 'cancelled') AND settled_at IS NULL"
"""Launched, and something is still to be done; `settled_at` is when nothing was left."""


class Mailing(Base):
    """One message to one audience. `next_position`, `enrol_cursor` and `enrolled_at` tell how far enrolment is;
    `enrolled_to_at` is the time of its last page.

    A campaign's mailing has `list_ids`, a welcome mail's the one of its list; a mailing of one has `recipient_address`
    and `recipient_variables`.
    `public_url` and `list_name` stand in its mails; they are fixed with the first page of the enrolment.
    `campaign_id` is the campaign (that is, its mailing) that a test belongs to.
    `attempts_put_away_at` is when its attempts became too old to be kept; those below `put_away_cursor` are gone.
    """

    __tablename__ = "mailings"
    __table_args__ = (
        Index("ix_mailings_busy", "id", postgresql_where=text(BUSY)),
        Index(None, "campaign_id", postgresql_where=text("campaign_id IS NOT NULL")),
    )

    id: Mapped[BigId]
    kind: Mapped[MailingKind] = mapped_column(text_enum(MailingKind))
    state: Mapped[MailingState] = mapped_column(text_enum(MailingState))
    campaign_id: Mapped[int | None] = mapped_column(ForeignKey("mailings.id"))
    relay_id: Mapped[int] = mapped_column(ForeignKey("relays.id"), server_default="1")
    content_version_id: Mapped[int | None] = mapped_column(ForeignKey("content_versions.id"))
    from_name: Mapped[str] = mapped_column(server_default="")
    from_address: Mapped[str]
    reply_to: Mapped[str] = mapped_column(server_default="")
    public_url: Mapped[str | None]
    list_name: Mapped[str | None]
    list_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default="{}")
    recipient_address: Mapped[str | None]
    recipient_variables: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    limits: Mapped[RateLimits] = mapped_column(RateLimitsColumn, server_default="[]")
    unknown_policy: Mapped[UnknownPolicy] = mapped_column(text_enum(UnknownPolicy), server_default="hold")
    created_at: Mapped[CreatedAt]
    launched_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    failure: Mapped[str | None]
    enrol_cursor: Mapped[int] = mapped_column(server_default="0")
    next_position: Mapped[int] = mapped_column(server_default="1")
    enrolled_count: Mapped[int] = mapped_column(server_default="0")
    enrolled_to_at: Mapped[datetime | None]
    enrolled_at: Mapped[datetime | None]
    rate_per_second: Mapped[float | None]
    rate_count: Mapped[int] = mapped_column(server_default="0")
    rate_at: Mapped[datetime | None]
    attempts_put_away_at: Mapped[datetime | None]
    put_away_cursor: Mapped[int] = mapped_column(server_default="1")


class MailingEvent(Base):
    """One line of a mailing's timeline: who did what when (append-only). `actor` is a person's name or `system`."""

    __tablename__ = "mailing_events"
    __table_args__ = (Index(None, "mailing_id", "id"),)

    id: Mapped[BigId]
    mailing_id: Mapped[int] = mapped_column(ForeignKey("mailings.id", ondelete="CASCADE"))
    at: Mapped[CreatedAt]
    actor: Mapped[str]
    kind: Mapped[str]
    detail: Mapped[str] = mapped_column(Text, server_default="")


def get_for_update(session: Session, mailing_id: int) -> Mailing:
    """The mailing under a row lock, read afresh. Raises NotFound."""
    mailing = session.scalar(
        select(Mailing).where(Mailing.id == mailing_id).with_for_update().execution_options(populate_existing=True)
    )
    if mailing is None:
        raise NotFound(f"There is no mailing {mailing_id}.")
    return mailing


def move(session: Session, mailing: Mailing, state: MailingState, *, actor: str, detail: str = "") -> None:
    """Take the mailing (locked by the caller) to a new state and write it into the timeline.

    Raises IllegalTransition when the move is not lawful from here.
    """
    if state not in LAWFUL_MOVES[mailing.state]:
        raise IllegalTransition(f"A {mailing.kind} that is {mailing.state} cannot become {state}.")
    mailing.state = state
    note(session, mailing.id, actor=actor, kind=state, detail=detail)


def halt(session: Session, mailing_id: int, why: str) -> bool:
    """Pause a mailing that cannot go on by itself; whether it was sending. No body begins once this is committed."""
    stop_bodies(session, mailing_id)
    mailing = get_for_update(session, mailing_id)
    if mailing.state is not MailingState.SENDING:
        return False
    move(session, mailing, MailingState.PAUSED, actor="system", detail=why[:500])
    return True


def reopen(session: Session, mailing: Mailing, *, actor: str, detail: str) -> None:
    """Open a finished mailing (locked by the caller) again: there is something to send after all."""
    mailing.settled_at = mailing.finished_at = None
    move(session, mailing, MailingState.SENDING, actor=actor, detail=detail)


def note(session: Session, mailing_id: int, *, actor: str, kind: str, detail: str = "") -> None:
    """Write a line into the mailing's timeline."""
    session.add(MailingEvent(mailing_id=mailing_id, actor=actor, kind=kind, detail=detail))


SEND_LOCK = 0x6D61
"""First half of the advisory lock's key: the recorder shares it, whoever stops sending takes it alone."""


def stop_bodies(session: Session, mailing_id: int) -> None:
    """Wait until no INTENT of this mailing is being committed, and hold the next ones back until this transaction ends.

    A statement of its own: what is read afterwards is newer than every INTENT that went before.
    """
    session.execute(select(func.pg_advisory_xact_lock(SEND_LOCK, cast(mailing_id, Integer))))
