"""The time, in one place: aware UTC datetimes, read at the doors and passed down as `now`."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Aware UTC. Domain functions take `now` as an argument; only doors and long-lived loops call this."""
    return datetime.now(UTC)
