"""Postgres array literals (manual, 8.15.6), written at once: a driver that looks at every value by itself costs more
than the whole conversation with the relay."""

from collections.abc import Iterable
from datetime import datetime


def of_numbers(values: Iterable[int | None]) -> str:
    """An array of integers or booleans."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def of_times(values: Iterable[datetime | None]) -> str:
    """An array of timestamps, which carry their zone."""
    return "{" + ",".join(["NULL" if value is None else value.isoformat() for value in values]) + "}"


def of_bytes(values: Iterable[bytes | None]) -> str:
    """An array of byte strings."""
    return "{" + ",".join(["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values]) + "}"


def of_texts(values: Iterable[str | None]) -> str:
    """An array of any texts. A text that Postgres cannot hold (a NUL, half a character) is refused by the driver."""
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(text: str) -> str:
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if '"' in text:
        text = text.replace('"', '\\"')
    return f'"{text}"'
