"""What became of every copy: the send log, one copy with its attempts, the reasons, the timeline.

Everything here reads a page by key or a handful of counters, so that it costs the same at ten million copies.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, func, select, text
from sqlalchemy.orm import Session

from email_campaign.address import BadAddress, address_hash, normalise
from email_campaign.audience.contacts import Contact
from email_campaign.audience.search import contains
from email_campaign.campaigns.mailings import Mailing, MailingEvent
from email_campaign.delivery.attempts import Attempt
from email_campaign.delivery.deliveries import TROUBLE, Counter, Delivery, DeliveryState, states_of
from email_campaign.delivery.relays import Relay
from email_campaign.errors import NotFound

_DELIVERY_ID = re.compile(r"([1-9][0-9]{0,17})-([1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which lines of the send log are asked for: all where nothing is set. `term`: a piece of address or name."""

    state: DeliveryState | None = None
    reason: str = ""
    term: str = ""


@dataclass(frozen=True, slots=True)
class Copy:
    """A line of the send log. `address` is None once the person was erased."""

    delivery: Delivery
    address: str | None
    name: str

    @property
    def id(self) -> str:
        """The public id of the delivery."""
        return f"{self.delivery.mailing_id}-{self.delivery.position}"


@dataclass(frozen=True, slots=True)
class Reason:
    """So many copies are in this state for this reason (None: not told apart)."""

    state: DeliveryState
    reason: str | None
    count: int


def deliveries_of(mailing_id: int, filters: Filters, address_key: bytes) -> Select[Delivery]:
    """The send log of a mailing, unordered; keyset pages go up by position. A whole address also finds the erased."""
    query = select(Delivery).where(Delivery.mailing_id == mailing_id)
    if filters.state in TROUBLE:
        query = query.where(Delivery.trouble == filters.state.value)
    elif filters.state is not None:
        query = query.where(Delivery.state == filters.state.value)
        if filters.state is DeliveryState.SENDING:
            query = query.where(_is_in_hand(mailing_id))
        elif filters.state is not DeliveryState.ACCEPTED:
            query = query.where(*_where_work_is(mailing_id))
    if filters.reason:
        query = query.where(Delivery.trouble.is_not(None), Delivery.reason == filters.reason.replace("\0", ""))
    if term := filters.term.strip():
        query = _with_term(query, term, address_key)
    return query


def read_copies(session: Session, deliveries: Sequence[Delivery]) -> list[Copy]:
    """The lines of a page of deliveries, all of one mailing, with whom they are for."""
    if not deliveries:
        return []
    mailing = session.get_one(Mailing, deliveries[0].mailing_id)
    contact_ids = [delivery.contact_id for delivery in deliveries if delivery.contact_id is not None]
    rows = session.execute(select(Contact.id, Contact.address, Contact.name).where(Contact.id.in_(contact_ids)))
    people = {row.id: (row.address, row.name) for row in rows}
    copies = []
    for delivery in deliveries:
        if delivery.contact_id is None:
            name = mailing.recipient_variables.get("name") or ""
            copies.append(Copy(delivery, mailing.recipient_address, str(name)))
        else:
            copies.append(Copy(delivery, *people.get(delivery.contact_id, (None, ""))))
    return copies


def parse_delivery_id(delivery_id: str) -> tuple[int, int]:
    """Mailing and position of a delivery's public id. Raises NotFound for what cannot be one."""
    found = _DELIVERY_ID.fullmatch(delivery_id)
    if found is None:
        raise NotFound(f"There is no delivery {delivery_id[:40]!r}.")
    return int(found[1]), int(found[2])


def get_delivery(session: Session, mailing_id: int, position: int) -> Copy:
    """One copy. Raises NotFound."""
    delivery = session.get(Delivery, (mailing_id, position))
    if delivery is None:
        raise NotFound(f"There is no delivery {mailing_id}-{position}.")
    return read_copies(session, [delivery])[0]


def attempts_of(session: Session, mailing_id: int, position: int) -> list[tuple[Attempt, str]]:
    """Every attempt at a copy with the name of its relay, the first one first."""
    rows = session.execute(
        select(Attempt, Relay.name)
        .outerjoin(Relay, Relay.id == Attempt.relay_id)
        .where(Attempt.mailing_id == mailing_id, Attempt.position == position)
        .order_by(Attempt.number)
    )
    return [(attempt, name or "") for attempt, name in rows]


def reasons_of(session: Session, mailing_id: int) -> list[Reason]:
    """Who was not reached, by state and reason, the most frequent first; cancelled ones are one sum.

    Reads the rows in trouble only: 100,000 of them take some 50 ms.
    """
    apart = [state.value for state in TROUBLE if state is not DeliveryState.CANCELLED]
    rows = session.execute(
        select(Delivery.trouble, Delivery.reason, func.count())
        .where(Delivery.mailing_id == mailing_id, Delivery.trouble.in_(apart))
        .group_by(Delivery.trouble, Delivery.reason)
    )
    reasons = [Reason(DeliveryState(str(state)), reason, count) for state, reason, count in rows]
    if cancelled := states_of(session, mailing_id)[DeliveryState.CANCELLED]:
        reasons.append(Reason(DeliveryState.CANCELLED, None, cancelled))
    return sorted(reasons, key=lambda one: (-one.count, one.state, one.reason or ""))


def counts_of(session: Session, mailing_ids: Collection[int]) -> Mapping[int, dict[DeliveryState, int]]:
    """The eight counts of each of these mailings, from the counters; for a page of a list."""
    counted = {mailing_id: dict.fromkeys(DeliveryState, 0) for mailing_id in mailing_ids}
    rows = session.execute(
        select(Counter.mailing_id, Counter.state, func.sum(Counter.count))
        .where(Counter.mailing_id.in_(mailing_ids))
        .group_by(Counter.mailing_id, Counter.state)
    )
    for mailing_id, state, count in rows:
        counted[mailing_id][DeliveryState(state)] = int(count)
    return counted


def timeline_of(mailing_id: int) -> Select[MailingEvent]:
    """Who did what when, unordered; keyset pages go by id."""
    return select(MailingEvent).where(MailingEvent.mailing_id == mailing_id)


def _with_term(query: Select[Delivery], term: str, address_key: bytes) -> Select[Delivery]:
    try:
        return query.where(Delivery.address_hash == address_hash(address_key, normalise(term)))
    except BadAddress:
        found = contains(term, Contact.address, Contact.name)
        return query.join(Contact, Contact.id == Delivery.contact_id).where(found)


def _is_in_hand(mailing_id: int) -> ColumnElement[bool]:
    """Sending rows stand in open slices, and these are few."""
    in_hand = text(_IN_HAND).columns(position=Delivery.position.type).bindparams(mailing=mailing_id)
    return Delivery.position.in_(in_hand.scalar_subquery())


def _where_work_is(mailing_id: int) -> list[ColumnElement[bool]]:
    """Pending rows stand in open slices or beyond a frontier: what is done with is not read."""
    lowest, highest = (
        text(edge).columns(position=Delivery.position.type).bindparams(mailing=mailing_id).scalar_subquery()
        for edge in (_LOWEST_OPEN, _HIGHEST_OPEN)
    )
    return [Delivery.position >= lowest, Delivery.position <= highest]


_IN_HAND = """
SELECT generate_series(first_position, last_position) FROM slices
WHERE mailing_id = :mailing AND closed_at IS NULL AND positions IS NULL
UNION ALL SELECT unnest(positions) FROM slices WHERE mailing_id = :mailing AND closed_at IS NULL
"""
_LOWEST_OPEN = """
SELECT least(
    (SELECT min(coalesce(first_position, positions[1])) FROM slices WHERE mailing_id = :mailing AND closed_at IS NULL),
    (SELECT min(frontier) FROM stretches WHERE mailing_id = :mailing AND frontier <= last_position)
)
"""
_HIGHEST_OPEN = """
SELECT greatest(
    (SELECT max(coalesce(last_position, positions[cardinality(positions)])) FROM slices
        WHERE mailing_id = :mailing AND closed_at IS NULL),
    (SELECT max(last_position) FROM stretches WHERE mailing_id = :mailing AND frontier <= last_position)
)
"""
