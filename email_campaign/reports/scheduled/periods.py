"""Periods: the days, weeks and months of a named time zone, as the moments between which they lie."""

import enum
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from email_campaign.errors import Invalid

DAY = timedelta(days=1)


class ReportKind(enum.StrEnum):
    """How long a period is: a day, a week from Monday on, a month."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True)
class Period:
    """The day, week or month that begins on `first_day` in this zone."""

    kind: ReportKind
    first_day: date
    zone: str

    @cached_property
    def next_day(self) -> date:
        """The first day that is no more of it."""
        return _next_first(self.kind, self.first_day)

    @property
    def last_day(self) -> date:
        """Its last day."""
        return self.next_day - DAY

    @cached_property
    def begins_at(self) -> datetime:
        """When it begins, in UTC; what happens in this very moment is of it."""
        return moment(self.first_day, 0, self.zone)

    @cached_property
    def ends_at(self) -> datetime:
        """When it is over, in UTC; what happens in this very moment is of the next one."""
        return moment(self.next_day, 0, self.zone)

    @property
    def before(self) -> "Period":
        """The period before this one."""
        return Period(self.kind, _first_of(self.kind, self.first_day - DAY), self.zone)

    @property
    def words(self) -> str:
        """`Monday, 16 November 2026`, `16–22 November 2026`, `November 2026`."""
        first, last = self.first_day, self.last_day
        if self.kind is ReportKind.DAILY:
            return f"{first:%A}, {first.day} {first:%B %Y}"
        if self.kind is ReportKind.MONTHLY:
            return f"{first:%B %Y}"
        if first.month == last.month:
            return f"{first.day}–{last.day} {last:%B %Y}"
        year = "" if first.year == last.year else f" {first.year}"
        return f"{first.day} {first:%B}{year} – {last.day} {last:%B %Y}"

    def steps(self) -> list[tuple[datetime, str]]:
        """Where the bars of its chart begin, with their labels: the hours of a day, else the days.

        A day on which clocks change has 23 or 25 hours.
        """
        if self.kind is ReportKind.DAILY:
            hours = round((self.ends_at - self.begins_at) / timedelta(hours=1))
            begins = [self.begins_at + timedelta(hours=hour) for hour in range(hours)]
            return [(at, f"{at.astimezone(ZoneInfo(self.zone)):%H:%M}") for at in begins]
        days = [self.first_day + DAY * number for number in range((self.next_day - self.first_day).days)]
        return [(moment(day, 0, self.zone), f"{day:%a} {day.day}") for day in days]


def checked_zone(name: str) -> str:
    """The name of a time zone. Raises Invalid for one that is not known."""
    name = name.strip()
    try:
        ZoneInfo(name)
    except (ValueError, ZoneInfoNotFoundError, OSError) as error:
        raise Invalid.field("zone", "Give a time zone by its name, such as Europe/Zurich or UTC.") from error
    return name


def last_over(kind: ReportKind, zone: str, now: datetime) -> Period:
    """The last period that is over at this moment."""
    today = now.astimezone(ZoneInfo(zone)).date()
    return Period(kind, _first_of(kind, today), zone).before


def next_due(kind: ReportKind, zone: str, hour: int, now: datetime) -> datetime:
    """When the next report is due: at this hour of the first day behind a period, and after `now`."""
    first = _first_of(kind, now.astimezone(ZoneInfo(zone)).date())
    while (due := moment(first, hour, zone)) <= now:
        first = _next_first(kind, first)
    return due


def moment(day: date, hour: int, zone: str) -> datetime:
    """This hour of that day, in UTC: of two the first, and within a gap its end."""
    return datetime.combine(day, time(hour), ZoneInfo(zone)).astimezone(UTC)


def _first_of(kind: ReportKind, day: date) -> date:
    if kind is ReportKind.DAILY:
        return day
    return day - DAY * day.weekday() if kind is ReportKind.WEEKLY else day.replace(day=1)


def _next_first(kind: ReportKind, first: date) -> date:
    if kind is ReportKind.MONTHLY:
        return (first.replace(day=28) + 4 * DAY).replace(day=1)
    return first + (DAY if kind is ReportKind.DAILY else 7 * DAY)
