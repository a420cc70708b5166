"""The schedule of reports: which kinds are on, at what hour of which zone, and which is due now."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import SmallInteger, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.db import Base, text_enum
from email_campaign.errors import Invalid
from email_campaign.reports.scheduled.periods import ReportKind, checked_zone, moment, next_due


class ReportSchedule(Base):
    """When the next report of a kind is due; None while the kind is off."""

    __tablename__ = "report_schedules"

    kind: Mapped[ReportKind] = mapped_column(text_enum(ReportKind), primary_key=True)
    hour: Mapped[int] = mapped_column(SmallInteger)
    zone: Mapped[str]
    due_at: Mapped[datetime | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What people choose."""

    kinds: frozenset[ReportKind]
    hour: int
    zone: str


DEFAULT = Plan(frozenset({ReportKind.WEEKLY}), 7, "UTC")


def plan_of(session: Session, *, lock: bool = False) -> Plan:
    """What was chosen; the default where nobody has. Under a lock whoever chooses meanwhile waits."""
    rows = _rows(session, lock=lock)
    if not rows:
        return DEFAULT
    any_row = next(iter(rows.values()))
    return Plan(frozenset(kind for kind, row in rows.items() if row.due_at), any_row.hour, any_row.zone)


def choose_plan(session: Session, wanted: Plan, now: datetime) -> Plan:
    """Put another plan in place. A report that is due, or will be, stays so on its day. Raises Invalid."""
    if not 0 <= wanted.hour <= 23:
        raise Invalid.field("hour", "Give an hour from 0 to 23.")
    zone = checked_zone(wanted.zone)
    lay_default(session, now)
    for kind, row in _rows(session, lock=True).items():
        if kind not in wanted.kinds:
            due_at = None
        elif row.due_at is None:
            due_at = next_due(kind, zone, wanted.hour, now)
        else:
            due_at = moment(row.due_at.astimezone(ZoneInfo(row.zone)).date(), wanted.hour, zone)
        row.hour, row.zone, row.due_at = wanted.hour, zone, due_at
    session.flush()
    return plan_of(session)


def next_reports(session: Session) -> dict[ReportKind, datetime]:
    """When the next report of each kind that is on is due; nothing before the clock has ticked once."""
    return {kind: row.due_at for kind, row in _rows(session, lock=False).items() if row.due_at is not None}


def lay_default(session: Session, now: datetime) -> None:
    """The rows of the default plan, where there are none. Safe to repeat."""
    for kind in ReportKind:
        due_at = next_due(kind, DEFAULT.zone, DEFAULT.hour, now) if kind in DEFAULT.kinds else None
        row = insert(ReportSchedule).values(kind=kind, hour=DEFAULT.hour, zone=DEFAULT.zone, due_at=due_at)
        session.execute(row.on_conflict_do_nothing())


def take_due(session: Session, now: datetime) -> Mapping[ReportKind, str]:
    """The kinds that are due, each with its zone; they are due again behind the next period.

    Whoever asks meanwhile passes over them, and finds them taken afterwards.
    """
    due = select(ReportSchedule).where(ReportSchedule.due_at <= now).with_for_update(skip_locked=True)
    taken = {}
    for row in session.scalars(due.execution_options(populate_existing=True)):
        row.due_at = next_due(row.kind, row.zone, row.hour, now)
        taken[row.kind] = row.zone
    session.flush()
    return taken


def _rows(session: Session, *, lock: bool) -> dict[ReportKind, ReportSchedule]:
    query = select(ReportSchedule).order_by(ReportSchedule.kind).execution_options(populate_existing=True)
    return {row.kind: row for row in session.scalars(query.with_for_update() if lock else query)}
