"""How a mailing is going: its eight numbers, its rate, the time left, and in words what it waits for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from email_campaign.campaigns import limits
from email_campaign.campaigns.mailings import BUSY, Mailing, MailingEvent, MailingState
from email_campaign.clock import clock_time
from email_campaign.delivery import slowing, workers
from email_campaign.delivery.deliveries import Delivery, DeliveryState, states_of
from email_campaign.delivery.relays import Relay, RelayState


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a mailing stands now. `audience` is the sum of the eight counts; it grows until `is_enrolled`.

    `rate_per_second` is the present one, None unless it is sending; `average_per_second` that of a finished one.
    `seconds_left` is None where it cannot be said.
    """

    counts: Mapping[DeliveryState, int]
    audience: int
    is_enrolled: bool
    rate_per_second: float | None
    average_per_second: float | None
    seconds_left: float | None
    why_waiting: str | None


def progress(session: Session, mailing: Mailing, now: datetime) -> Progress:
    """Read from the mailing, the counters and the open slices; never from the deliveries themselves."""
    counts = states_of(session, mailing.id)
    why = why_waiting(session, mailing, counts, now)
    rate = mailing.rate_per_second if mailing.state is MailingState.SENDING else None
    left = counts[DeliveryState.PENDING] + counts[DeliveryState.SENDING]
    can_tell = rate and mailing.enrolled_at is not None and why is None
    return Progress(
        counts=counts,
        audience=sum(counts.values()),
        is_enrolled=mailing.enrolled_at is not None,
        rate_per_second=rate,
        average_per_second=_average(mailing, counts),
        seconds_left=left / rate if can_tell and rate else None,
        why_waiting=why,
    )


def why_waiting(session: Session, mailing: Mailing, counts: Mapping[DeliveryState, int], now: datetime) -> str | None:
    """Why no mail goes out at this moment, in a sentence; None while it goes out, and for a mailing that is not on."""
    if mailing.state is MailingState.PAUSED:
        return f"Paused by {_who_paused(session, mailing.id)}."
    if mailing.state is not MailingState.SENDING:
        return None
    relay = session.get_one(Relay, mailing.relay_id, populate_existing=True)
    return (
        _relay_paused(relay)
        or ("No send worker is running." if not workers.count_alive(session) else None)
        or _relay_away(relay, now)
        or (None if counts[DeliveryState.SENDING] else _nothing_in_flight(session, mailing, counts, relay, now))
    )


def rate_now(session: Session) -> float:
    """Mails per second of all mailings that are being sent, as they were measured last."""
    busy = select(func.sum(Mailing.rate_per_second)).where(Mailing.state == MailingState.SENDING, text(BUSY))
    return float(session.scalar(busy) or 0)


def slowed_words(relay: Relay, now: datetime) -> str | None:
    """`Slowed to 12 a second until 4 Mar 2026, 14:02:10 UTC, because the relay said: …`; None: it is not slowed."""
    rate = slowing.rate_now(relay, now)
    if rate is None or relay.slowed_until is None:
        return None
    until = clock_time(relay.slowed_until)
    return f"Slowed to {rate:,.0f} a second, rising until {until}, because the relay said: {relay.slowed_reason}"


def _average(mailing: Mailing, counts: Mapping[DeliveryState, int]) -> float | None:
    if mailing.state is not MailingState.FINISHED or mailing.finished_at is None or mailing.launched_at is None:
        return None
    seconds = (mailing.finished_at - mailing.launched_at).total_seconds()
    done = sum(counts[state] for state in (DeliveryState.ACCEPTED, DeliveryState.REJECTED, DeliveryState.UNKNOWN))
    return done / seconds if seconds > 0 else None


def _who_paused(session: Session, mailing_id: int) -> str:
    last = (
        select(MailingEvent.actor)
        .where(MailingEvent.mailing_id == mailing_id, MailingEvent.kind == MailingState.PAUSED.value)
        .order_by(MailingEvent.id.desc())
        .limit(1)
    )
    return session.scalar(last) or "somebody"


def _relay_paused(relay: Relay) -> str | None:
    if relay.state is not RelayState.PAUSED:
        return None
    return "The relay is paused" + (f": {relay.state_reason}" if relay.state_reason else ".")


def _relay_away(relay: Relay, now: datetime) -> str | None:
    if not relay.failure_count:
        return None
    said = relay.last_error.rstrip(".") or "it does not answer"
    if relay.retry_at is not None and relay.retry_at > now:
        return f"The relay cannot be used: {said}. It is tried again at {clock_time(relay.retry_at)}."
    return f"The relay could not be used: {said}. It is being tried again now."


def _nothing_in_flight(
    session: Session, mailing: Mailing, counts: Mapping[DeliveryState, int], relay: Relay, now: datetime
) -> str | None:
    slices = session.execute(_OPEN_SLICES, {"mailing": mailing.id, "now": now}).one()
    if slices.leased:
        return None
    if slices.queued:
        return f"{slices.queued:,} copies are handed out and wait for a free send worker."
    if slices.limited:
        return f"{_limits(mailing, relay, now)} is reached. The next mail goes out at {clock_time(slices.next_at)}."
    if slices.roomless:
        return "Its attachments wait for those of other campaigns: the memory of a send worker holds so many at once."
    if mailing.enrolled_at is None:
        return f"The audience is being enrolled: {mailing.enrolled_count:,} so far."
    if not counts[DeliveryState.PENDING]:
        return _only_retries(session, mailing.id, now)
    return "Nothing is handed out to the send workers at the moment; that is looked after every few seconds."


def _limits(mailing: Mailing, relay: Relay, now: datetime) -> str:
    known = [
        f"the {of}'s limit of {limits.spell(one.limits)}"
        for of, one in (("campaign", mailing), ("relay", relay))
        if one.limits
    ]
    rate = slowing.rate_now(relay, now)
    if rate is not None:
        known.append(f"what the relay is slowed to ({rate:,.0f} a second)")
    words = " or ".join(known) or "a limit"
    return words[0].upper() + words[1:]


def _only_retries(session: Session, mailing_id: int, now: datetime) -> str | None:
    due = session.scalar(
        select(func.min(Delivery.next_attempt_at)).where(
            Delivery.mailing_id == mailing_id, Delivery.next_attempt_at.is_not(None)
        )
    )
    if due is None:
        return None
    when = f"the next is due at {clock_time(due)}" if due > now else "the next is due now"
    return f"Only copies that are tried again are left; {when}."


_OPEN_SLICES = text("""
SELECT count(*) FILTER (WHERE worker_id IS NOT NULL) AS leased,
    coalesce(sum(row_count) FILTER (WHERE worker_id IS NULL AND published_at IS NOT NULL), 0) AS queued,
    count(*) FILTER (WHERE hold_reason = 'limit' AND due_at > :now) AS limited,
    count(*) FILTER (WHERE hold_reason = 'room') AS roomless,
    min(due_at) FILTER (WHERE hold_reason = 'limit' AND due_at > :now) AS next_at
FROM slices WHERE mailing_id = :mailing AND closed_at IS NULL
""")
