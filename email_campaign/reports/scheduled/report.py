"""Reports: a period's row with what was said of it, frozen, so that page and PDF of the past can be made again."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, Select, UniqueConstraint, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.db import Base, BigId, CreatedAt, text_enum
from email_campaign.errors import Conflict, NotFound
from email_campaign.reports.scheduled.figures import Figures
from email_campaign.reports.scheduled.periods import Period, ReportKind, last_over
from email_campaign.reports.scheduled.schedules import lay_default, take_due
from email_campaign.tasks.tasks import Task, TaskState, create_task

TASK_KIND = "report"
TRIED_AGAIN_AFTER = timedelta(hours=1)
TRIED_FOR = timedelta(days=3)
"""A report that is to be mailed, and failed, is tried again for so long by itself; afterwards by hand."""


class Report(Base):
    """One report, once for each kind and period. Without `figures` it is still to be made by its task.

    `mail_wanted_at` is when the schedule asked for it to be mailed, `mailed_at` when it was, to `mail_count` users.
    """

    __tablename__ = "reports"
    __table_args__ = (UniqueConstraint("kind", "first_day"),)

    id: Mapped[BigId]
    kind: Mapped[ReportKind] = mapped_column(text_enum(ReportKind))
    first_day: Mapped[date]
    zone: Mapped[str]
    figures: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), deferred=True)
    made_at: Mapped[datetime | None]
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"))
    mail_wanted_at: Mapped[datetime | None]
    mailed_at: Mapped[datetime | None]
    mail_count: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[CreatedAt]

    @property
    def period(self) -> Period:
        """What it is about."""
        return Period(self.kind, self.first_day, self.zone)

    @property
    def title(self) -> str:
        """`Weekly report`."""
        return f"{self.kind.capitalize()} report"

    @property
    def is_to_be_mailed(self) -> bool:
        """Asked for, and not done yet."""
        return self.mail_wanted_at is not None and self.mailed_at is None


@dataclass(frozen=True, slots=True)
class Asked:
    """A report with the task that the door is to nudge; None where there is nothing to do for one, or it waits."""

    report: Report
    task_id: int | None


def begin_due(session: Session, now: datetime) -> list[int]:
    """For the clock: ask for every report that is due or failed; the tasks to nudge. Safe to repeat, also side by side.

    After a downtime the last period that is over gets its report, and is mailed; those before it are not made up for.
    """
    lay_default(session, now)
    due = take_due(session, now)
    asked = [ask_for(session, last_over(kind, zone, now), now, is_mailed=True).task_id for kind, zone in due.items()]
    asked += [_begin(session, report, now, None) for report in session.scalars(_failed(now))]
    return [task_id for task_id in asked if task_id is not None]


def ask_for(
    session: Session, period: Period, now: datetime, *, is_mailed: bool = False, created_by: int | None = None
) -> Asked:
    """The report of a period that is over, made if need be by a task. Safe to repeat. Raises Conflict."""
    if period.ends_at > now:
        raise Conflict(f"{period.words} is not over yet.")
    row = insert(Report).values(kind=period.kind, first_day=period.first_day, zone=period.zone, created_at=now)
    session.execute(row.on_conflict_do_nothing(index_elements=[Report.kind, Report.first_day]))
    report = session.scalars(
        select(Report)
        .where(Report.kind == period.kind, Report.first_day == period.first_day)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    if is_mailed:
        report.mail_wanted_at = report.mail_wanted_at or now
    return Asked(report, _begin(session, report, now, created_by))


def again(session: Session, report_id: int, now: datetime, created_by: int | None) -> Asked:
    """What is left to do of a report, as a new task where none is at it. Raises NotFound."""
    report = session.get(Report, report_id, with_for_update=True, populate_existing=True)
    if report is None:
        raise _no_report(report_id)
    return Asked(report, _begin(session, report, now, created_by))


def all_reports(kind: ReportKind | None = None) -> Select[Report]:
    """The reports of a kind, or all, unordered. Keyset pages go by id."""
    return select(Report) if kind is None else select(Report).where(Report.kind == kind)


def get_report(session: Session, report_id: int) -> Report:
    """Raises NotFound."""
    report = session.get(Report, report_id)
    if report is None:
        raise _no_report(report_id)
    return report


def figures_of(report: Report) -> Figures:
    """What it says. Raises Conflict while it is being made."""
    if report.figures is None:
        raise Conflict("This report is not made yet; its task says how far it is.")
    return Figures.from_json(report.figures)


def _failed(now: datetime) -> Select[Report]:
    return (
        select(Report)
        .join(Task, Task.id == Report.task_id)
        .where(
            Report.mail_wanted_at > now - TRIED_FOR,
            Report.mailed_at.is_(None),
            Task.state == TaskState.FAILED,
            Task.finished_at <= now - TRIED_AGAIN_AFTER,
        )
        .with_for_update(of=Report, skip_locked=True)
        .execution_options(populate_existing=True)
    )


def _begin(session: Session, report: Report, now: datetime, created_by: int | None) -> int | None:
    if report.made_at is not None and not report.is_to_be_mailed:
        return None
    last = session.get(Task, report.task_id) if report.task_id else None
    if last is not None and last.finished_at is None:
        return None
    title = f"{report.title}, {report.period.words}"
    task = create_task(session, kind=TASK_KIND, subject_id=report.id, title=title, created_by=created_by, now=now)
    task.total_count = (report.made_at is None) + report.is_to_be_mailed
    report.task_id = task.id
    session.flush()
    return task.id


def _no_report(report_id: int) -> NotFound:
    return NotFound(f"There is no report {report_id}.")
