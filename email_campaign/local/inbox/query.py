"""The words of the search box: `to: from: subject: has: is: before: after:` and plain words, quoted if need be."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

TEXT_OPERATORS = ("to", "from", "subject")
FLAGS = {"has": ("attachment",), "is": ("unread", "read")}
MOMENT_OPERATORS = ("before", "after")
OPERATORS = (*TEXT_OPERATORS, *FLAGS, *MOMENT_OPERATORS)

MAX_CHARACTERS = 1_000
MAX_TERMS = 20

_TERM = re.compile(r"""(?:(?P<name>[A-Za-z]+):)?(?:"(?P<quoted>[^"]*)(?P<end>"?)|(?P<bare>[^\s"]*))""")
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{2}:[0-9]{2}))?")


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that a mail has to fulfil. `operator` is empty for plain words; `value` is in lower case."""

    operator: str
    value: str
    moment: datetime | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """All terms, what could not be read, and what looks like an operator but is none."""

    terms: tuple[Term, ...] = ()
    problems: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()


class _Unreadable(Exception):
    """The message is a whole sentence: what is wrong, and what to write."""


def read_query(text: str) -> Query:
    """Every term has to match. Where there are problems, each a sentence for the reader, no term counts."""
    if len(text) > MAX_CHARACTERS:
        return Query(problems=(f"A search has at most {MAX_CHARACTERS:,} characters; this one has {len(text):,}.",))
    terms: list[Term] = []
    problems: list[str] = []
    strangers: list[str] = []
    for found in filter(None, (match if match[0] else None for match in _TERM.finditer(text))):
        try:
            term = _term(found)
        except _Unreadable as unreadable:
            problems.append(str(unreadable))
            continue
        terms.extend([term] if term.value else [])
        if found["name"] and not term.operator and found["bare"] and not found["bare"].startswith("//"):
            strangers.append(found["name"])
    if len(terms) > MAX_TERMS:
        problems.append(
            f"A search has at most {MAX_TERMS} terms; this one has {len(terms)}. Quote what belongs together."
        )
    return Query(() if problems else tuple(terms), tuple(problems), tuple(strangers))


def _term(found: re.Match[str]) -> Term:
    if found["quoted"] is not None and not found["end"]:
        raise _Unreadable(f"The quote before “{found['quoted'][:40]}” is not closed. Add a second one.")
    name = (found["name"] or "").lower()
    value = (found["bare"] if found["quoted"] is None else found["quoted"]).strip().lower()
    if name not in OPERATORS:
        return Term("", f"{name}:{value}" if name else value)
    if not value:
        raise _Unreadable(f"“{name}:” has no value. Write {_example(name)}, without a blank after the colon.")
    if name in FLAGS and value not in FLAGS[name]:
        raise _Unreadable(f"“{name}:{value[:40]}” is not known. Write {_example(name)}.")
    if name in MOMENT_OPERATORS:
        return Term(name, value, _moment(name, value))
    return Term(name, value)


def _moment(name: str, value: str) -> datetime:
    found = _MOMENT.fullmatch(value.upper())
    try:
        if found is None:
            raise ValueError
        return datetime.fromisoformat(f"{found[1]}T{found[2] or '00:00'}").replace(tzinfo=UTC)
    except ValueError:
        message = f"“{name}:{value[:40]}” is no date. Write {_example(name)}, in UTC."
        raise _Unreadable(message) from None


def _example(name: str) -> str:
    if name in FLAGS:
        return " or ".join(f"{name}:{flag}" for flag in FLAGS[name])
    if name in MOMENT_OPERATORS:
        return f"{name}:2026-03-04 or {name}:2026-03-04T14:30"
    return f"{name}:ada" if name != "subject" else 'subject:welcome or subject:"welcome back"'
