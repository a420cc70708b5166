"""Periods: where days, weeks and months of a zone begin and end, also where clocks change."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_campaign.errors import Invalid
from email_campaign.reports.scheduled.periods import Period, ReportKind, checked_zone, last_over, moment, next_due

ZURICH = "Europe/Zurich"
ZONES = ("UTC", ZURICH, "America/Havana", "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu")
TIMES = st.integers(1_577_836_800, 1_893_456_000).map(lambda second: datetime.fromtimestamp(second, UTC))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (ZURICH, date(2026, 3, 29), 23),
        (ZURICH, date(2026, 10, 25), 25),
        (ZURICH, date(2026, 7, 1), 24),
        ("Africa/Cairo", date(2026, 4, 24), 23),  # midnight itself is skipped
        ("America/Havana", date(2026, 11, 1), 25),  # midnight comes twice
        ("UTC", date(2026, 3, 29), 24),
    ],
)
def test_a_day_lasts_from_its_midnight_to_the_next(zone: str, day: date, hours: int) -> None:
    period = Period(ReportKind.DAILY, day, zone)
    assert period.ends_at - period.begins_at == timedelta(hours=hours)
    assert period.ends_at == Period(ReportKind.DAILY, day + timedelta(days=1), zone).begins_at
    assert len(period.steps()) == hours


def test_a_week_in_which_clocks_change_is_an_hour_shorter() -> None:
    week = Period(ReportKind.WEEKLY, date(2026, 3, 23), ZURICH)
    assert (week.begins_at, week.ends_at) == (
        datetime(2026, 3, 22, 23, tzinfo=UTC),
        datetime(2026, 3, 29, 22, tzinfo=UTC),
    )
    assert [label for _, label in week.steps()] == [
        "Mon 23",
        "Tue 24",
        "Wed 25",
        "Thu 26",
        "Fri 27",
        "Sat 28",
        "Sun 29",
    ]


def test_a_month_has_its_days_also_in_february() -> None:
    for first, days in ((date(2028, 2, 1), 29), (date(2027, 2, 1), 28), (date(2026, 12, 1), 31)):
        period = Period(ReportKind.MONTHLY, first, ZURICH)
        assert len(period.steps()) == days
        assert period.last_day.day == days
    assert Period(ReportKind.MONTHLY, date(2026, 3, 1), ZURICH).before.first_day == date(2026, 2, 1)


@pytest.mark.parametrize("kind", list(ReportKind))
@given(zone=st.sampled_from(ZONES), now=TIMES)
def test_periods_follow_each_other_without_gap_and_the_last_one_is_over(
    kind: ReportKind, zone: str, now: datetime
) -> None:
    last = last_over(kind, zone, now)
    assert last.begins_at < last.ends_at <= now
    assert last.before.ends_at == last.begins_at
    following = Period(kind, last.next_day, zone)
    assert following.before == last
    assert following.begins_at <= now < following.ends_at
    begins = [at for at, _ in last.steps()]
    assert begins[0] == last.begins_at
    assert begins == sorted(begins)
    assert begins[-1] < last.ends_at


@pytest.mark.parametrize("kind", list(ReportKind))
@given(zone=st.sampled_from(ZONES), hour=st.integers(0, 23), now=TIMES)
def test_the_next_report_is_due_after_now_and_once_a_period(
    kind: ReportKind, zone: str, hour: int, now: datetime
) -> None:
    due = next_due(kind, zone, hour, now)
    assert due > now
    assert next_due(kind, zone, hour, due) > due
    # What is made then is of a period that ended within the day before.
    assert timedelta(0) <= due - last_over(kind, zone, due).ends_at <= timedelta(hours=25)


def test_an_hour_that_is_skipped_is_the_end_of_the_gap_and_of_two_the_first_counts() -> None:
    assert moment(date(2026, 3, 29), 2, ZURICH) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert moment(date(2026, 10, 25), 2, ZURICH) == datetime(2026, 10, 25, 0, tzinfo=UTC)


def test_seven_o_clock_stays_seven_o_clock_when_clocks_change() -> None:
    before = next_due(ReportKind.WEEKLY, ZURICH, 7, datetime(2026, 3, 22, 12, tzinfo=UTC))
    after = next_due(ReportKind.WEEKLY, ZURICH, 7, before)
    assert (before, after) == (datetime(2026, 3, 23, 6, tzinfo=UTC), datetime(2026, 3, 30, 5, tzinfo=UTC))


@pytest.mark.parametrize("name", ["", "Mars/Base", "../../etc/passwd", "/etc/passwd", "Europe/Zurich\0", "x" * 300])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        checked_zone(name)


@pytest.mark.parametrize(
    ("kind", "first", "words"),
    [
        (ReportKind.DAILY, date(2026, 11, 16), "Monday, 16 November 2026"),
        (ReportKind.WEEKLY, date(2026, 11, 16), "16–22 November 2026"),
        (ReportKind.WEEKLY, date(2026, 10, 26), "26 October – 1 November 2026"),
        (ReportKind.WEEKLY, date(2026, 12, 28), "28 December 2026 – 3 January 2027"),
        (ReportKind.MONTHLY, date(2026, 11, 1), "November 2026"),
    ],
)
def test_a_period_in_words(kind: ReportKind, first: date, words: str) -> None:
    assert Period(kind, first, ZURICH).words == words
