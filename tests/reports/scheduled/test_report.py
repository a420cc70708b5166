"""Reports that are due: once each, however many clocks tick, and made up for once after a downtime."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import func, select

from email_campaign.db import SessionFactory
from email_campaign.errors import Conflict, Invalid
from email_campaign.reports.scheduled.periods import Period, ReportKind, last_over
from email_campaign.reports.scheduled.report import Report, again, ask_for, begin_due
from email_campaign.reports.scheduled.schedules import DEFAULT, Plan, choose_plan, next_reports, plan_of
from email_campaign.tasks.tasks import Task, TaskState

ALL = frozenset(ReportKind)
FRIDAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, 7, 0, 30, tzinfo=UTC)


def _tick(factory: SessionFactory, now: datetime) -> list[int]:
    with factory.begin() as session:
        return begin_due(session, now)


def _choose(factory: SessionFactory, plan: Plan, now: datetime) -> None:
    with factory.begin() as session:
        choose_plan(session, plan, now)


def _reports(factory: SessionFactory) -> list[tuple[ReportKind, date]]:
    with factory() as session:
        return [(one.kind, one.first_day) for one in session.scalars(select(Report).order_by(Report.id))]


def test_without_a_choice_there_is_a_weekly_report_on_monday_at_seven(session_factory: SessionFactory) -> None:
    with session_factory() as session:
        assert plan_of(session) == DEFAULT
    assert _tick(session_factory, FRIDAY) == []
    assert _tick(session_factory, MONDAY - timedelta(minutes=1)) == []
    assert len(_tick(session_factory, MONDAY)) == 1
    assert _tick(session_factory, MONDAY + timedelta(minutes=1)) == []
    assert _reports(session_factory) == [(ReportKind.WEEKLY, date(2026, 11, 16))]
    with session_factory() as session:
        assert next_reports(session) == {ReportKind.WEEKLY: datetime(2026, 11, 30, 7, tzinfo=UTC)}


def test_after_a_downtime_the_last_period_is_made_up_for_once(session_factory: SessionFactory) -> None:
    _choose(session_factory, Plan(ALL, 7, "UTC"), FRIDAY)
    back = datetime(2026, 12, 9, 15, tzinfo=UTC)  # 19 daily, two weekly and one monthly report were due meanwhile
    assert len(_tick(session_factory, back)) == 3
    assert _tick(session_factory, back + timedelta(minutes=1)) == []
    assert set(_reports(session_factory)) == {
        (ReportKind.DAILY, date(2026, 12, 8)),
        (ReportKind.WEEKLY, date(2026, 11, 30)),
        (ReportKind.MONTHLY, date(2026, 11, 1)),
    }


def test_two_clocks_ask_for_one_report(session_factory: SessionFactory) -> None:
    _tick(session_factory, FRIDAY)
    together = Barrier(8)

    def tick(_: int) -> list[int]:
        together.wait(timeout=10)
        return _tick(session_factory, MONDAY)

    with ThreadPoolExecutor(8) as clocks:
        asked = [task_id for tasks in clocks.map(tick, range(8)) for task_id in tasks]
    assert len(asked) == 1
    with session_factory() as session:
        assert session.scalar(select(func.count()).select_from(Report)) == 1
        assert session.scalar(select(func.count()).select_from(Task)) == 1


def test_two_clocks_lay_the_first_schedule_once(session_factory: SessionFactory) -> None:
    with ThreadPoolExecutor(4) as clocks:
        list(clocks.map(lambda _: _tick(session_factory, FRIDAY), range(4)))
    with session_factory() as session:
        assert list(next_reports(session)) == [ReportKind.WEEKLY]


def test_a_report_that_was_made_by_hand_is_mailed_when_it_is_due_and_not_made_again(
    session_factory: SessionFactory,
) -> None:
    _tick(session_factory, FRIDAY)
    period = last_over(ReportKind.WEEKLY, "UTC", MONDAY)
    with session_factory.begin() as session:
        asked = ask_for(session, period, MONDAY - timedelta(minutes=10))
        task = session.get_one(Task, asked.task_id)
        task.state, task.finished_at = TaskState.SUCCEEDED, MONDAY
        asked.report.figures, asked.report.made_at = {}, MONDAY
    (task_id,) = _tick(session_factory, MONDAY)
    with session_factory() as session:
        (report,) = session.scalars(select(Report)).all()
        assert report.task_id == task_id
        assert report.is_to_be_mailed


def test_a_report_in_the_making_is_not_asked_for_twice(session_factory: SessionFactory) -> None:
    period = last_over(ReportKind.DAILY, "UTC", FRIDAY)
    with session_factory.begin() as session:
        first = ask_for(session, period, FRIDAY)
    with session_factory.begin() as session:
        second = ask_for(session, period, FRIDAY, is_mailed=True)
        assert second.task_id is None
        assert second.report.is_to_be_mailed
        assert again(session, first.report.id, FRIDAY, None).task_id is None


def test_a_report_that_failed_is_tried_again_after_an_hour_for_three_days(session_factory: SessionFactory) -> None:
    _tick(session_factory, FRIDAY)
    tried = _tick(session_factory, MONDAY)
    for hours in range(1, 100):
        now = MONDAY + timedelta(hours=hours)
        with session_factory.begin() as session:
            for task in session.scalars(select(Task).where(Task.finished_at.is_(None))):
                task.state, task.finished_at = TaskState.FAILED, now - timedelta(minutes=30)
        assert _tick(session_factory, now) == []
        tried += _tick(session_factory, now + timedelta(minutes=31))
    assert len(tried) == 72
    assert len(_reports(session_factory)) == 1


def test_a_period_that_is_not_over_has_no_report(session_factory: SessionFactory) -> None:
    with session_factory.begin() as session, pytest.raises(Conflict):
        ask_for(session, Period(ReportKind.MONTHLY, date(2026, 11, 1), "UTC"), FRIDAY)


def test_another_hour_moves_what_is_due_and_loses_nothing(session_factory: SessionFactory) -> None:
    _tick(session_factory, FRIDAY)
    early = datetime(2026, 11, 23, 6, 50, tzinfo=UTC)
    _choose(session_factory, Plan(frozenset({ReportKind.WEEKLY}), 6, "UTC"), early)  # six is past, and none was made
    assert len(_tick(session_factory, early)) == 1
    _choose(session_factory, Plan(frozenset({ReportKind.WEEKLY}), 9, "UTC"), MONDAY)
    assert _tick(session_factory, MONDAY + timedelta(hours=4)) == []
    assert len(_reports(session_factory)) == 1


def test_another_zone_has_other_weeks_and_no_week_twice(session_factory: SessionFactory) -> None:
    _tick(session_factory, FRIDAY)
    _choose(session_factory, Plan(frozenset({ReportKind.WEEKLY}), 7, "Pacific/Auckland"), FRIDAY)
    assert len(_tick(session_factory, datetime(2026, 11, 22, 18, tzinfo=UTC))) == 1  # Monday, 7 there
    _choose(session_factory, Plan(frozenset({ReportKind.WEEKLY}), 7, "UTC"), datetime(2026, 11, 22, 19, tzinfo=UTC))
    _tick(session_factory, MONDAY)
    assert _reports(session_factory) == [(ReportKind.WEEKLY, date(2026, 11, 16))]


def test_what_is_off_is_not_made(session_factory: SessionFactory) -> None:
    _choose(session_factory, Plan(frozenset(), 7, "UTC"), FRIDAY)
    assert _tick(session_factory, MONDAY + timedelta(days=40)) == []
    _choose(session_factory, Plan(frozenset({ReportKind.DAILY}), 7, "UTC"), MONDAY)
    with session_factory() as session:
        assert plan_of(session).kinds == {ReportKind.DAILY}
    assert _tick(session_factory, MONDAY) == []


@pytest.fixture
def nothing_changes(session_factory: SessionFactory) -> Iterator[None]:
    _tick(session_factory, FRIDAY)
    yield
    with session_factory() as session:
        assert plan_of(session) == DEFAULT


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize("plan", [Plan(ALL, 24, "UTC"), Plan(ALL, -1, "UTC"), Plan(ALL, 7, "Nowhere/Land")])
def test_a_plan_that_cannot_be_kept_is_refused(session_factory: SessionFactory, plan: Plan) -> None:
    with session_factory() as session, pytest.raises(Invalid):
        choose_plan(session, plan, FRIDAY)
