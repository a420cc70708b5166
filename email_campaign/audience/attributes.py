"""Attributes: what names and values a contact may carry, so that each is a variable in a template."""

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from email_campaign.errors import FieldProblem, Invalid

MAX_ATTRIBUTES = 100
MAX_NAME_CHARACTERS = 60
MAX_TEXT_CHARACTERS = 10_000
MAX_LIST_ITEMS = 100

BUILT_IN = frozenset({"name", "address", "unsubscribe_url", "campaign_name"})
"""Variables that every template has anyway."""

_TEMPLATE_WORDS = frozenset({"and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "self", "loop"})
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_BETWEEN_WORDS = re.compile(r"[^a-z0-9_]+")

Scalar = str | int | float | bool
Value = Scalar | list[Scalar]


class BadAttribute(ValueError):
    """The name or the value cannot be an attribute; the message says why."""


def attribute_name(text: str) -> str:
    """The name in lower case with `_` for blanks. Raises BadAttribute for what could not stand in a template."""
    return _checked_name(text, re.sub(r"\s+", "_", text.strip().lower()))


def attribute_name_of_column(text: str) -> str:
    """As `attribute_name`, but forgiving: accents go, other signs become `_` (`Straße / Nr.` → `strasse_nr`)."""
    plain = unicodedata.normalize("NFKD", text.strip().casefold()).encode("ascii", "ignore").decode()
    name = _BETWEEN_WORDS.sub("_", plain).strip("_")
    return _checked_name(text, f"_{name}" if name[:1].isdigit() else name)


def check_attributes(given: Mapping[str, Any]) -> dict[str, Value | None]:
    """The attributes under their proper names; None stays (it removes). Raises Invalid, one problem per attribute."""
    if len(given) > MAX_ATTRIBUTES:
        raise Invalid.field("attributes", f"A contact has at most {MAX_ATTRIBUTES} attributes; these are {len(given)}.")
    good: dict[str, Value | None] = {}
    problems: list[FieldProblem] = []
    for text, value in given.items():
        try:
            name = attribute_name(text)
            if name in good:
                raise BadAttribute(f"The attribute {name} is given twice.")
            good[name] = None if value is None else check_value(value)
        except BadAttribute as error:
            problems.append(FieldProblem(f"attributes.{text}", str(error)))
    if problems:
        raise Invalid(problems[0].message, problems)
    return good


def check_value(value: Any) -> Value:
    """The value itself when it is a text, a number, true or false, or a list of these. Raises BadAttribute."""
    if isinstance(value, list):
        if len(value) > MAX_LIST_ITEMS:
            raise BadAttribute(f"A list has at most {MAX_LIST_ITEMS} items; this one has {len(value)}.")
        return [_check_scalar(item) for item in value]
    return _check_scalar(value)


def is_storable(text: str) -> bool:
    """Whether Postgres can hold the text: no NUL, and no half of a surrogate pair."""
    return _UNSTORABLE.search(text) is None


def _checked_name(text: str, name: str) -> str:
    if not name:
        raise BadAttribute(f"“{text.strip()}” has no letter from a to z; an attribute needs a name such as city.")
    if len(name) > MAX_NAME_CHARACTERS:
        raise BadAttribute(f"An attribute's name has at most {MAX_NAME_CHARACTERS} characters; this has {len(name)}.")
    if not _IDENTIFIER.fullmatch(name):
        raise BadAttribute(
            f"“{text.strip()}” is no attribute name: use letters a to z, digits and _, as in first_name."
        )
    if name in BUILT_IN:
        raise BadAttribute(f"{name} is a variable that every template has already; choose another name.")
    if name in _TEMPLATE_WORDS:
        raise BadAttribute(f"{name} is a word of the template language; choose another name.")
    return name


def _check_scalar(value: Any) -> Scalar:
    if isinstance(value, str):
        if len(value) > MAX_TEXT_CHARACTERS:
            raise BadAttribute(f"A text has at most {MAX_TEXT_CHARACTERS:,} characters; this one has {len(value):,}.")
        if not is_storable(value):
            raise BadAttribute("The text has a character that is none (NUL, or half of a surrogate pair).")
        return value
    if isinstance(value, float) and not math.isfinite(value):
        raise BadAttribute("The number is not finite.")
    if isinstance(value, bool | int | float):
        return value
    raise BadAttribute("A value is a text, a number, true or false, or a list of these.")
