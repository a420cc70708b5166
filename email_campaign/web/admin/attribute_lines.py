"""Attributes as a person types them: one a line, `city = London`; numbers, true, false and lists keep their kind."""

import json
from collections.abc import Mapping
from typing import Any

from email_campaign.errors import FieldProblem, Invalid

FIELD = "attributes"


def write_lines(attributes: Mapping[str, Any]) -> str:
    """The attributes as lines, by name. A text that would be read as something else stands in quotes."""
    return "\n".join(f"{name} = {_write(value)}" for name, value in sorted(attributes.items()))


def read_lines(text: str) -> dict[str, Any]:
    """The attributes of these lines. Raises Invalid that names each wrong line."""
    attributes: dict[str, Any] = {}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name:
            problems.append(f"Line {number} needs the form: city = London.")
        elif name in attributes:
            problems.append(f"Line {number} gives {name} a second time.")
        else:
            attributes[name] = _read(value)
    if problems:
        raise Invalid(problems[0], [FieldProblem(FIELD, " ".join(problems))])
    return attributes


def changes(before: list[str], now: Mapping[str, Any]) -> dict[str, Any]:
    """What to tell the contact: the lines as they are, and None for those that were shown and are gone."""
    return {**{name: None for name in before if name not in now}, **now}


def on_field(error: Invalid) -> Invalid:
    """The same error, with what is wrong about single attributes on the one field that the form has for them."""
    problems: dict[str, list[str]] = {}
    for problem in error.problems:
        problems.setdefault(problem.field.partition(".")[0], []).append(problem.message)
    return Invalid(error.message, [FieldProblem(field, " ".join(said)) for field, said in problems.items()])


def _write(value: Any) -> str:
    if isinstance(value, str) and value == value.strip() and "\n" not in value and _read(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _read(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if value is None or isinstance(value, dict) else value
