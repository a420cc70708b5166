"""Rate limits that people set: several windows at once, in words, in JSON and in a column."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Dialect, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB

from email_campaign.errors import FieldProblem, Invalid

MOST_LIMITS = 5
MOST_COUNT = 10_000_000
LONGEST_SECONDS = 86_400
SPANS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
EXAMPLE = "10 a second, 5,000 an hour"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Not more than `count` mails in any `seconds`."""

    count: int
    seconds: int


RateLimits = tuple[RateLimit, ...]
"""They hold all at once; none: as fast as it goes. In the order of their windows."""


class RateLimitsColumn(TypeDecorator[RateLimits]):
    """A JSON array of {count, seconds}."""

    impl = JSONB
    cache_ok = True

    def process_bind_param(self, value: RateLimits | None, dialect: Dialect) -> Any:  # noqa: ARG002 – SQLAlchemy's
        """To the column."""
        return [asdict(limit) for limit in value or ()]

    def process_result_value(self, value: Any, dialect: Dialect) -> RateLimits:  # noqa: ARG002 – SQLAlchemy's
        """From the column."""
        return tuple(RateLimit(limit["count"], limit["seconds"]) for limit in value or ())


def problems_of(limits: Sequence[RateLimit]) -> list[FieldProblem]:
    """What is wrong with them, said of the field `limits`."""
    messages = []
    if any(not 1 <= limit.count <= MOST_COUNT for limit in limits):
        messages.append(f"Give numbers of mails from 1 to {MOST_COUNT:,}; leave the field empty for no limit.")
    if any(not 1 <= limit.seconds <= LONGEST_SECONDS for limit in limits):
        messages.append(f"Give spans of time from 1 to {LONGEST_SECONDS:,} seconds (a day).")
    if len({limit.seconds for limit in limits}) < len(limits):
        messages.append("Name each span of time once.")
    if len(limits) > MOST_LIMITS:
        messages.append(f"Give {MOST_LIMITS} limits at most.")
    return [FieldProblem("limits", " ".join(messages))] if messages else []


def in_order(limits: Sequence[RateLimit]) -> RateLimits:
    """As they are stored: the shortest window first."""
    return tuple(sorted(limits, key=lambda limit: limit.seconds))


def parse(words: str) -> RateLimits:
    """The limits in words such as `10 a second, 5,000 an hour, 400 in 90 seconds`. Raises Invalid (field `limits`).

    What `spell` says is understood.
    """
    limits = []
    for part in filter(None, map(str.strip, _BETWEEN.split(words))):
        found = _LIMIT.fullmatch(part)
        if found is None:
            raise Invalid.field("limits", f"“{part[:60]}” is not understood. Write it like this: {EXAMPLE}.")
        count = int(found["count"].replace(",", ""))
        limits.append(RateLimit(count, int(found["many"] or 1) * SPANS[_span(found["span"].lower())]))
    return in_order(limits)


def spell(limits: Sequence[RateLimit]) -> str:
    """`10 a second, 5,000 an hour`; empty for none."""
    return ", ".join(f"{limit.count:,} {spell_span(limit.seconds)}" for limit in limits)


def spell_span(seconds: int) -> str:
    """`a second`, `an hour`, `in 90 seconds`: the span as it is said after a number of mails."""
    span, size = next((span, size) for span, size in reversed(SPANS.items()) if seconds % size == 0)
    if seconds == size:
        return f"{'an' if span == 'hour' else 'a'} {span}"
    return f"in {seconds // size:,} {span}s".replace(",", "")


def steady_rate(limits: Sequence[RateLimit]) -> float | None:
    """Mails a second that go on for as long as one likes; None: no limit."""
    return min((limit.count / limit.seconds for limit in limits), default=None)


_COUNT = r"(?P<count>[0-9]{1,3}(?:,[0-9]{3}){1,5}|[0-9]{1,18})"
_LIMIT = re.compile(
    _COUNT + r"\s*(?:mails?)?\s*(?:an?|per|/|each|every|in(?:\s+any|\s+an?)?)\s*(?P<many>[0-9]{1,9})?\s*"
    r"(?P<span>s|secs?|seconds?|min|mins?|minutes?|h|hrs?|hours?|d|days?)\.?",
    re.IGNORECASE,
)
# Not the comma of 5,000.
_BETWEEN = re.compile(r",(?![0-9]{3}(?![0-9]))|;|\n|\band\b")


def _span(word: str) -> str:
    return next(span for span in SPANS if span[0] == word[0])
