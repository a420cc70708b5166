"""Search: the one way in which contacts and suppressions are looked for by a piece of text."""

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import InstrumentedAttribute

SHORTEST_SUBSTRING = 3
"""A trigram index cannot find less in the middle of a text; shorter terms are looked for at its beginning."""


def contains(
    term: str, *columns: InstrumentedAttribute[str] | InstrumentedAttribute[str | None]
) -> ColumnElement[bool]:
    """Any of the columns has the term in it, whatever the case; a term of one or two letters must be its beginning."""
    pattern = term.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("\0", "")
    before = "%" if len(term) >= SHORTEST_SUBSTRING else ""
    return or_(*(column.ilike(f"{before}{pattern}%") for column in columns))
