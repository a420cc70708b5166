"""Findings of the doctor: one thing that was looked at, how it is, what was seen, and how to mend it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`seen` is a sentence; `mend` a command or a setting, empty where all is well."""

    name: str
    state: State
    seen: str
    mend: str = ""


def ok(name: str, seen: str) -> Finding:
    """All is well."""
    return Finding(name, "ok", seen)


def warn(name: str, seen: str, mend: str) -> Finding:
    """Mail goes out, and yet somebody should look at it."""
    return Finding(name, "warn", seen, mend)


def fail(name: str, seen: str, mend: str) -> Finding:
    """Mail does not go out, or soon will not."""
    return Finding(name, "fail", seen, mend)


def guarded(name: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What was found; where it breaks off, that is a failure like any other, and holds up none of the rest."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except Exception as error:
        words = (str(error).strip().splitlines() or [""])[0]
        seen = f"It could not be looked at to the end: {type(error).__name__}: {words}"
        found.append(fail(name, seen, "Report this as a fault."))
    return found
