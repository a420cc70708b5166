"""The filters of the template language: small, total, and unable to make a text that is out of proportion."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from urllib.parse import quote

from jinja2 import Environment, Undefined, pass_environment
from jinja2.filters import do_title
from jinja2.runtime import Context
from jinja2.utils import pass_context
from markupsafe import escape

MAX_VALUE_CHARACTERS = 100_000
"""No filter makes a longer text: chained `replace` would otherwise grow it a thousandfold each time."""

MAX_LOOP_WORK = 200_000
"""Iterations times size of the body, over all loops of one rendering: some 50 ms of processor time."""

EACH = "each of"
"""The filter that the compiler lays around the list of every loop. Its name has a blank, so nobody can write it."""

_SHORT_CHARACTERS = 100
"""The same short values stand in many links of a mail, and of the next one."""

_DATE_FORMAT = re.compile(r"(?:[^%]|%[aAbBdHmMpyYj%]){1,100}")  # no widths: `%999999999d` fills the memory


def default(value: object, fallback: object = "") -> object:
    """The fallback where the contact has no value; an empty text counts as none, since imports bring many of them."""
    return fallback if isinstance(value, Undefined) or value is None or value == "" else value


def upper(value: object) -> str:
    return _text(value).upper()


def lower(value: object) -> str:
    return _text(value).lower()


def title(value: object) -> str:
    return do_title(_text(value))


def capitalize(value: object) -> str:
    return _text(value).capitalize()


def trim(value: object) -> str:
    return _text(value).strip()


def replace(value: object, old: object, new: object) -> str:
    text, old, new = _text(value), _text(old), _text(new)
    _check_length(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


def truncate(value: object, length: int = 255, killwords: bool = False, end: str = "…") -> str:
    """At most `length` characters with the end, cut between words unless `killwords`."""
    text = _text(value)
    if len(text) <= length:
        return text
    cut = text[: max(0, length - len(end))]
    if not killwords:
        cut = cut.rsplit(" ", 1)[0]
    return cut + end


def join(value: object, separator: object = "") -> str:
    parts = [_text(item) for item in _sequence(value)]
    glue = _text(separator)
    _check_length(sum(map(len, parts)) + len(glue) * len(parts))
    return glue.join(parts)


def length(value: object) -> int:
    if isinstance(value, str | Sequence | Mapping):
        return len(value)
    return len(_sequence(value))


@pass_environment
def first(environment: Environment, value: object) -> object:
    items = _sequence(value)
    return items[0] if items else environment.undefined("The list is empty.")


@pass_environment
def last(environment: Environment, value: object) -> object:
    items = _sequence(value)
    return items[-1] if items else environment.undefined("The list is empty.")


def to_int(value: object, default: int = 0) -> int:
    text = _text(value)
    for read in (int, float):
        try:
            return int(read(text))
        except (ValueError, OverflowError):
            continue
    return default


def to_float(value: object, default: float = 0.0) -> float:
    try:
        return float(_text(value))
    except ValueError:
        return default


def to_round(value: object, precision: int = 0) -> float:
    """Rounded to 0–10 decimals; an `int` where none are asked for."""
    if not 0 <= precision <= 10:
        raise ValueError("The filter “round” takes 0 to 10 decimals.")
    number = float(_text(value))
    return round(number, precision) if precision else round(number)


def to_date(value: object, pattern: str = "%d.%m.%Y") -> str:
    """An ISO 8601 date or time, written another way: `%d.%m.%Y`, `%d %B %Y`."""
    if not _DATE_FORMAT.fullmatch(pattern):
        raise ValueError("The filter “date” knows %a %A %b %B %d %H %m %M %p %y %Y %j only.")
    if isinstance(value, date):
        return value.strftime(pattern)
    text = _text(value)
    try:
        return datetime.fromisoformat(text).strftime(pattern)
    except ValueError:
        raise ValueError(f"“{text[:40]}” is not a date like 2026-05-31.") from None


def urlencode(value: object) -> str:
    text = str(value)
    return _quoted(text) if len(text) <= _SHORT_CHARACTERS else quote(text, safe="")


@pass_context
def each(context: Context, value: object, weight: int) -> Sequence[object]:
    """The entries of a loop's list, counted against what one rendering may do."""
    items = _sequence(value)
    if isinstance(value, str):
        raise TypeError("The loop runs over a text; it needs a list.")
    # The context lives for one rendering, so the sum can live there.
    work = context.vars["loop work"] = context.vars.get("loop work", 0) + len(items) * weight
    if work > MAX_LOOP_WORK:
        raise ValueError("The loops of the template take too many steps. Shorten the list or the loop's body.")
    return items


def _text(value: object) -> str:
    """The value as text; markup stays markup, and a missing variable raises."""
    return value if isinstance(value, str) else str(value)


@lru_cache(4096)
def _quoted(text: str) -> str:
    return quote(text, safe="")


def _sequence(value: object) -> Sequence[object]:
    if isinstance(value, Sequence):
        return value
    if isinstance(value, Undefined | Mapping):
        return list(value)  # a missing variable raises here and names itself
    raise TypeError("This needs a list.")


def _check_length(length: int) -> None:
    if length > MAX_VALUE_CHARACTERS:
        raise ValueError("A filter would make a text of more than 100,000 characters.")


FILTERS: Mapping[str, Callable[..., object]] = {
    "capitalize": capitalize,
    "d": default,
    "date": to_date,
    "default": default,
    "e": escape,
    "escape": escape,
    "first": first,
    "float": to_float,
    "int": to_int,
    "join": join,
    "last": last,
    "length": length,
    "lower": lower,
    "replace": replace,
    "round": to_round,
    "title": title,
    "trim": trim,
    "truncate": truncate,
    "upper": upper,
    "urlencode": urlencode,
}
"""What authors may write after a `|`."""

TEXT_FILTERS: Mapping[str, Callable[..., object]] = {**FILTERS, "e": _text, "escape": _text}
"""The same for subject and text part, where an escaped `&` would be read as it stands."""
