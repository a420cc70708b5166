"""Subscriptions: who is on which list, in which state, and how it came to that."""

import enum
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ForeignKey, Index, Select, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.audience.welcomes import welcome
from email_campaign.db import Base, BigId, CreatedAt, text_enum
from email_campaign.errors import Conflict, NotFound


class SubscriptionState(enum.StrEnum):
    """
    (new) → pending → confirmed → unsubscribed
    (new) → confirmed
    pending → unsubscribed
    unsubscribed → pending, confirmed      by the person, or by hand with a reason; never by an import
    confirmed → (none), pending            as before an import that is undone
    """

    PENDING = "pending"
    CONFIRMED = "confirmed"
    UNSUBSCRIBED = "unsubscribed"


class Change(enum.StrEnum):
    """What the history of a subscription tells: which state was reached, or that an import's was taken back."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    UNSUBSCRIBED = "unsubscribed"
    TAKEN_BACK = "taken_back"


class Source(enum.StrEnum):
    """By which way a subscription changed: the person's own (form, link), or ours (hand, api, import)."""

    FORM = "form"
    LINK = "link"
    HAND = "hand"
    API = "api"
    IMPORT = "import"


_THE_PERSON = frozenset({Source.FORM, Source.LINK})


class Subscription(Base):
    """A contact on a list. The audience of a campaign are the confirmed."""

    __tablename__ = "subscriptions"
    __table_args__ = (Index("ix_subscriptions_list_state", "list_id", "state"),)

    list_id: Mapped[int] = mapped_column(ForeignKey("mailing_lists.id"), primary_key=True)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contacts.id", ondelete="CASCADE"), primary_key=True, index=True)
    state: Mapped[SubscriptionState] = mapped_column(text_enum(SubscriptionState))
    created_at: Mapped[CreatedAt]
    confirmed_at: Mapped[datetime | None]
    unsubscribed_at: Mapped[datetime | None]


class SubscriptionEvent(Base):
    """One change of a subscription's state: when, from what, and by which way (append-only)."""

    __tablename__ = "subscription_events"
    __table_args__ = (
        Index(None, "contact_id", "list_id", "id"),
        Index("ix_subscription_events_recent", "list_id", "id", postgresql_where=text("source <> 'import'")),
        # What happened in a day or a month: rows lie in the order of their time.
        Index(None, "at", postgresql_using="brin", postgresql_with={"pages_per_range": 32, "autosummarize": True}),
    )

    id: Mapped[BigId]
    list_id: Mapped[int]
    contact_id: Mapped[int] = mapped_column(ForeignKey("contacts.id", ondelete="CASCADE"))
    at: Mapped[CreatedAt]
    state: Mapped[Change] = mapped_column(text_enum(Change))
    source: Mapped[str]
    detail: Mapped[str] = mapped_column(server_default="")


class AlreadyUnsubscribed(Conflict):
    """The person left this list, and only they, or somebody with a reason, can undo it."""


def subscribe(
    session: Session,
    contact_id: int,
    list_id: int,
    state: SubscriptionState,
    source: Source,
    detail: str,
    now: datetime,
) -> Subscription:
    """Put a contact on a list as pending or confirmed. Safe to repeat; a confirmed one never falls back to pending.

    The contact and the list must be there. Raises AlreadyUnsubscribed when the person left and neither comes back by
    themselves nor is put back by hand (or API) with a reason in `detail`.
    """
    if state is SubscriptionState.UNSUBSCRIBED:
        raise Conflict("Nobody can be subscribed as unsubscribed; unsubscribe them.")
    added = session.scalar(
        insert(Subscription)
        .values(
            list_id=list_id,
            contact_id=contact_id,
            state=state,
            created_at=now,
            confirmed_at=now if state is SubscriptionState.CONFIRMED else None,
        )
        .on_conflict_do_nothing()
        .returning(Subscription.contact_id)
    )
    subscription = _locked(session, contact_id, list_id)
    if added is not None:
        _note(session, subscription, source, detail, now)
        return subscription
    if subscription.state is SubscriptionState.UNSUBSCRIBED and not _may_return(source, detail):
        raise AlreadyUnsubscribed(
            "This contact unsubscribed from the list. Only they can come back by themselves; "
            "to put them back by hand, say why in `detail`."
        )
    if subscription.state in (SubscriptionState.CONFIRMED, state):
        return subscription
    return _move(session, subscription, state, source, detail, now)


def confirm(
    session: Session, contact_id: int, list_id: int, source: Source, detail: str, now: datetime
) -> Subscription:
    """pending → confirmed. Safe to repeat. Raises NotFound, and AlreadyUnsubscribed: an old link brings nobody back."""
    subscription = _locked(session, contact_id, list_id)
    if subscription.state is SubscriptionState.UNSUBSCRIBED:
        raise AlreadyUnsubscribed("This contact has unsubscribed from the list in the meantime.")
    if subscription.state is SubscriptionState.CONFIRMED:
        return subscription
    return _move(session, subscription, SubscriptionState.CONFIRMED, source, detail, now)


def unsubscribe(
    session: Session, contact_id: int, list_ids: Collection[int], source: Source, detail: str, now: datetime
) -> int:
    """Take a contact off these lists; how many changed. Safe to repeat; lists that they are not on are passed over."""
    subscriptions = session.scalars(
        select(Subscription)
        .where(
            Subscription.contact_id == contact_id,
            Subscription.list_id.in_(list_ids),
            Subscription.state != SubscriptionState.UNSUBSCRIBED,
        )
        .order_by(Subscription.list_id)
        .with_for_update()
    ).all()
    for subscription in subscriptions:
        _move(session, subscription, SubscriptionState.UNSUBSCRIBED, source, detail, now)
    return len(subscriptions)


def get_subscription(session: Session, contact_id: int, list_id: int) -> Subscription:
    """Raises NotFound."""
    subscription = session.get(Subscription, (list_id, contact_id))
    if subscription is None:
        raise NotFound(f"Contact {contact_id} is not on mailing list {list_id}.")
    return subscription


def subscriptions_of(session: Session, contact_id: int) -> Sequence[Subscription]:
    """All subscriptions of a contact, by list."""
    query = select(Subscription).where(Subscription.contact_id == contact_id).order_by(Subscription.list_id)
    return session.scalars(query).all()


def history_of(contact_id: int) -> Select[SubscriptionEvent]:
    """Every change of a contact's subscriptions, newest first."""
    query = select(SubscriptionEvent).where(SubscriptionEvent.contact_id == contact_id)
    return query.order_by(SubscriptionEvent.id.desc())


def members(list_id: int, state: SubscriptionState | None = None) -> Select[Subscription]:
    """The subscriptions of a list, unordered, of one state or of all. Keyset pages go by contact id."""
    query = select(Subscription).where(Subscription.list_id == list_id)
    return query if state is None else query.where(Subscription.state == state)


def _locked(session: Session, contact_id: int, list_id: int) -> Subscription:
    subscription = session.get(Subscription, (list_id, contact_id), with_for_update=True, populate_existing=True)
    if subscription is None:
        raise NotFound(f"Contact {contact_id} is not on mailing list {list_id}.")
    return subscription


def _may_return(source: Source, detail: str) -> bool:
    return source in _THE_PERSON or (source in (Source.HAND, Source.API) and bool(detail.strip()))


def _move(
    session: Session,
    subscription: Subscription,
    state: SubscriptionState,
    source: Source,
    detail: str,
    now: datetime,
) -> Subscription:
    subscription.state = state
    if state is SubscriptionState.CONFIRMED:
        subscription.confirmed_at = now
    subscription.unsubscribed_at = now if state is SubscriptionState.UNSUBSCRIBED else None
    _note(session, subscription, source, detail, now)
    return subscription


def _note(session: Session, subscription: Subscription, source: Source, detail: str, now: datetime) -> None:
    session.add(
        SubscriptionEvent(
            list_id=subscription.list_id,
            contact_id=subscription.contact_id,
            at=now,
            state=Change(subscription.state),
            source=source,
            detail=detail.replace("\0", ""),
        )
    )
    session.flush()
    if subscription.state is SubscriptionState.CONFIRMED and source is not Source.IMPORT:
        welcome(session, subscription.contact_id, subscription.list_id, now)
