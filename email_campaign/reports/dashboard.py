"""The dashboard's question: is everything all right? What is being sent, what needs somebody, what is due, by day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import ColumnElement, Date, cast, func, select
from sqlalchemy.orm import Session

from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import Mailing, MailingState
from email_campaign.clock import clock_time
from email_campaign.delivery import workers
from email_campaign.delivery.deliveries import Counter, DeliveryState
from email_campaign.delivery.relays import Relay, RelayState
from email_campaign.reports.progress import Progress, progress
from email_campaign.reports.queries import counts_of
from email_campaign.reports.reasons import NOT_REACHED
from email_campaign.reports.unknown import unknown_counts
from email_campaign.reports.welcome import paused_welcomes
from email_campaign.tasks.outcomes import last_failures, title_of

DAYS = 30
MOST_SHOWN = 20
REJECTED_SHARE = 0.05
"""More rejected than this share of the audience is worth a look: providers slow senders down from about there on."""
MISSED_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Need:
    """Something that needs somebody: a sentence, and the campaign or the list that it is about (None: the relay, the
    workers)."""

    kind: str
    message: str
    campaign_id: int | None = None
    list_id: int | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """Copies of the campaigns that were launched on this day (UTC), by what became of them."""

    day: date
    accepted: int
    not_reached: int


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Everything at one look. `sending` has the paused too."""

    sending: Sequence[tuple[Campaign, Progress]]
    needs: Sequence[Need]
    due: Sequence[Campaign]
    days: Sequence[Day]


@dataclass(frozen=True, slots=True)
class Glance:
    """What a dashboard that is open must notice: which campaigns are on it, and what needs somebody."""

    sending: Sequence[Campaign]
    needs: Sequence[Need]
    due: Sequence[Campaign]


def dashboard(session: Session, now: datetime) -> Dashboard:
    """Read from campaigns and counters only."""
    seen = glance(session, now)
    return Dashboard(
        sending=[(campaign, progress(session, campaign.mailing, now)) for campaign in seen.sending],
        needs=seen.needs,
        due=seen.due,
        days=_days(session, now),
    )


def glance(session: Session, now: datetime) -> Glance:
    """The dashboard without its numbers: cheap enough to be read every second."""
    sending = _campaigns(session, _BUSY)
    needs = [*_machine_needs(session, is_sending=bool(sending)), *_campaign_needs(session, now)]
    return Glance(sending, needs, _due(session, now))


def _campaigns(session: Session, condition: ColumnElement[bool]) -> Sequence[Campaign]:
    query = select(Campaign).join(Mailing, Mailing.id == Campaign.id).where(condition)
    return session.scalars(query.order_by(Campaign.id.desc()).limit(MOST_SHOWN)).all()


def _machine_needs(session: Session, *, is_sending: bool) -> list[Need]:
    needs = []
    for relay in session.scalars(select(Relay).order_by(Relay.id)):
        if relay.state is RelayState.PAUSED:
            why = f": {relay.state_reason}" if relay.state_reason else "."
            needs.append(Need("relay_paused", f"The relay is paused; nothing goes out{why}"))
        elif relay.failure_count:
            again = f" It is tried again at {clock_time(relay.retry_at)}." if relay.retry_at else ""
            said = relay.last_error.rstrip(".") or "it does not answer"
            needs.append(Need("relay_down", f"The relay cannot be used: {said}.{again}"))
    if is_sending and not workers.count_alive(session):
        needs.append(Need("no_worker", "Campaigns are being sent, and no send worker is running."))
    return needs + [Need("night", f"{title_of(task)} failed: {task.error}") for task in last_failures(session)]


def _campaign_needs(session: Session, now: datetime) -> list[Need]:
    needs = [
        Need(
            "failed",
            f"“{campaign.name}” was due and could not be launched. {campaign.mailing.failure or ''}".strip(),
            campaign.id,
        )
        for campaign in _campaigns(session, Mailing.state == MailingState.FAILED)
    ]
    missed = (Mailing.state == MailingState.SCHEDULED) & (Campaign.scheduled_at < now - MISSED_AFTER)
    needs += [
        Need(
            "missed",
            f"“{campaign.name}” was due at {clock_time(campaign.scheduled_at)} and was not launched; "
            "is the worker of the control queue running?",
            campaign.id,
        )
        for campaign in _campaigns(session, missed)
        if campaign.scheduled_at is not None
    ]
    needs += [
        Need("welcome_paused", f"The welcome mail of “{one.name}” is paused; nobody is welcomed.", list_id=one.id)
        for one in paused_welcomes(session)
    ]
    needs += _unknown_needs(session)
    recent = _recent(session, now)
    counts = counts_of(session, [campaign.id for campaign in recent])
    for campaign in recent:
        needs += _copy_needs(campaign, counts[campaign.id])
    return needs


def _unknown_needs(session: Session) -> list[Need]:
    """However long ago they were sent: nobody but a person takes them from here."""
    counts = unknown_counts(session)
    total = sum(counts.values())
    if not total:
        return []
    campaign = session.get(Campaign, next(iter(counts))) if len(counts) == 1 else None
    of = f" of “{campaign.name}”" if campaign else f" of {len(counts):,} mailings" if len(counts) > 1 else ""
    copies = f"1 copy{of} is" if total == 1 else f"{total:,} copies{of} are"
    said = f"{copies} unknown: nobody can say whether the relay took {'it' if total == 1 else 'them'}."
    return [Need("unknown", said, campaign.id if campaign else None)]


def _copy_needs(campaign: Campaign, counts: Mapping[DeliveryState, int]) -> list[Need]:
    needs = []
    rejected, audience = counts[DeliveryState.REJECTED], sum(counts.values())
    if audience and rejected / audience > REJECTED_SHARE:
        share = f"{rejected:,} of {audience:,}"
        needs.append(Need("rejected", f"{share} copies of “{campaign.name}” were rejected.", campaign.id))
    return needs


def _recent(session: Session, now: datetime) -> Sequence[Campaign]:
    """Campaigns of the last days with a copy that is rejected."""
    troubled = select(Counter.mailing_id).where(
        Counter.mailing_id == Campaign.id,
        Counter.state == DeliveryState.REJECTED.value,
        Counter.count > 0,
    )
    return _campaigns(session, (Mailing.launched_at >= now - timedelta(days=DAYS)) & troubled.exists())


def _due(session: Session, now: datetime) -> Sequence[Campaign]:
    query = (
        select(Campaign)
        .join(Mailing, Mailing.id == Campaign.id)
        .where(Campaign.scheduled_at >= now - MISSED_AFTER, Mailing.state == MailingState.SCHEDULED)
        .order_by(Campaign.scheduled_at)
        .limit(MOST_SHOWN)
    )
    return session.scalars(query).all()


def _days(session: Session, now: datetime) -> list[Day]:
    """The last days, today last; those without a launch are zero."""
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=DAYS - 1)
    launched_on = cast(func.timezone("UTC", Mailing.launched_at), Date)
    missed = Counter.state.in_([state.value for state in NOT_REACHED])
    rows = session.execute(
        select(
            launched_on,
            func.coalesce(func.sum(Counter.count).filter(Counter.state == DeliveryState.ACCEPTED.value), 0),
            func.coalesce(func.sum(Counter.count).filter(missed), 0),
        )
        .select_from(Campaign)
        .join(Mailing, Mailing.id == Campaign.id)
        .join(Counter, Counter.mailing_id == Campaign.id)
        .where(Mailing.launched_at >= datetime.combine(first, time(), UTC))
        .group_by(launched_on)
    )
    known = {day: Day(day, int(accepted), int(not_reached)) for day, accepted, not_reached in rows}
    return [known.get(day, Day(day, 0, 0)) for day in (first + timedelta(days=n) for n in range(DAYS))]


_BUSY = Mailing.state.in_([MailingState.SENDING, MailingState.PAUSED]) & Mailing.settled_at.is_(None)
