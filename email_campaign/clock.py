"""The time, in one place: aware UTC datetimes, read at the doors and passed down as `now`."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Aware UTC. Domain functions take `now` as an argument; only doors and long-lived loops call this."""
    return datetime.now(UTC)


def clock_time(at: datetime) -> str:
    """`4 Mar 2026, 14:02:10 UTC`, for sentences. Pages find it in them and show it in the viewer's zone."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %Y, %H:%M:%S} UTC"
