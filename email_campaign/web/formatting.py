"""How numbers, times, sizes and shares read on a page: the filters of the templates."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from email_campaign.campaigns import limits
from email_campaign.clock import clock_time, utc_now

NOTHING = "–"
# What is over comes first and what is still to come last, so that the bar fills from the left.
STATES_IN_A_BAR = ("accepted", "sending", "deferred", "unknown", "rejected", "skipped", "cancelled", "pending")
SMALLEST_SHARE = 0.6  # per cent of a bar's width: one lost mail in a million must be seen
SMALLEST_RATE = 0.05  # a second; less reads as 0

MINUTE, HOUR, DAY = 60, 3600, 86_400


@dataclass(frozen=True)
class Segment:
    """One state's stretch of a state bar; `x` and `width` are per cent of the bar."""

    state: str
    count: int
    total: int
    x: float
    width: float


def number(value: float | None) -> str:
    """`48210` → `48,210`; a fraction keeps one digit after the point."""
    if value is None:
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}".removesuffix(".0")


def visible_rate(per_second: float | None) -> float | None:
    """A rate as a card shows it: none between two bursts, where it would read as 0 while work goes on."""
    return per_second if per_second is not None and per_second >= SMALLEST_RATE else None


def count(value: int | None, singular: str, plural: str = "") -> str:
    """`1 contact`, `2 contacts`."""
    return f"{number(value)} {singular if value == 1 else plural or singular + 's'}"


def percent(part: float | None, whole: float | None) -> str:
    """A share of `whole` that never rounds to nothing or to everything."""
    if part is None or not whole:
        return NOTHING
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "<0.1%"
    if 99.9 < share < 100:
        return ">99.9%"
    return f"{share:.1f}%".replace(".0%", "%")


def file_size(value: int | None) -> str:
    """Bytes in steps of 1,000: `1.4 MB`."""
    if value is None:
        return NOTHING
    size, units = float(value), iter(("kB", "MB", "GB", "TB"))
    if size < 1000:
        return count(value, "byte")
    unit = next(units)
    size /= 1000
    while size >= 999.95 and (larger := next(units, None)):
        size, unit = size / 1000, larger
    return f"{size:,.1f} {unit}"


def duration(seconds: float | None) -> str:
    """The two largest units: `4 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds is None:
        return NOTHING
    rest = max(0, round(seconds))
    if not rest:
        return "0 s" if seconds <= 0 else "<1 s"
    parts = []
    for unit, length in (("d", DAY), ("h", HOUR), ("min", MINUTE), ("s", 1)):
        amount, rest = divmod(rest, length)
        parts.append((amount, unit))
    first = next(i for i, (amount, _) in enumerate(parts) if amount)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[first : first + 2] if amount)


def moment(at: datetime | None, *, seconds: bool = False) -> str:
    """`4 Mar 2026, 14:02 UTC`: an absolute time; the script shows it in the viewer's zone."""
    if at is None:
        return NOTHING
    if seconds:
        return clock_time(at)
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def machine_time(at: datetime | None) -> str:
    """RFC 3339 in UTC, for the `datetime` attribute and for scripts."""
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def relative(at: datetime | None, now: datetime | None = None) -> str:
    """`3 minutes ago`, `in 2 hours`; a date beyond 30 days."""
    if at is None:
        return NOTHING
    difference = (at - (now or utc_now())).total_seconds()
    distance = abs(difference)
    if distance < 45:
        return "just now" if difference <= 0 else "in a moment"
    if distance >= timedelta(days=30).total_seconds():
        at = at.astimezone(UTC)
        return f"{at.day} {at:%b %Y}"
    if distance < 90 * MINUTE:
        words = count(max(1, round(distance / MINUTE)), "minute")
    elif distance < 36 * HOUR:
        words = count(round(distance / HOUR), "hour")
    else:
        words = count(round(distance / DAY), "day")
    return f"{words} ago" if difference < 0 else f"in {words}"


def segments(counts: Mapping[str, int]) -> list[Segment]:
    """The stretches of a state bar in order, those that are zero left out; the widths add up to 100."""
    total = sum(counts.get(state, 0) for state in STATES_IN_A_BAR)
    present = [(state, counts[state]) for state in STATES_IN_A_BAR if counts.get(state)]
    widths = {state: max(SMALLEST_SHARE, 100 * amount / total) for state, amount in present}
    if widths:
        widest = max(widths, key=lambda state: widths[state])
        widths[widest] -= sum(widths.values()) - 100
    drawn, x = [], 0.0
    for state, amount in present:
        drawn.append(Segment(state, amount, total, round(x, 3), round(widths[state], 3)))
        x += widths[state]
    return drawn


def folded(events: Iterable[Mapping[str, Any]]) -> list[tuple[bool, list[Mapping[str, Any]]]]:
    """Neighbouring events of a timeline in bundles: (made by the machine, events)."""
    return [(machine, list(run)) for machine, run in groupby(events, key=lambda event: bool(event.get("machine")))]


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "rate_limits": limits.spell,
    "visible_rate": visible_rate,
    "counted": count,
    "percent": percent,
    "bytes": file_size,
    "duration": duration,
    "datetime": moment,
    "machine_time": machine_time,
    "relative": relative,
    "segments": segments,
    "folded": folded,
}
