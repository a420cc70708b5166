"""Variables: which attributes the contacts have, as those who write templates want to know."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session


def attributes_in_use(session: Session) -> Sequence[tuple[str, int]]:
    """Names of attributes with how many of the 1,000 newest contacts have them, the most frequent first."""
    return [(name, holders) for name, holders in session.execute(_IN_USE)]


def sample_size(session: Session) -> int:
    """How many contacts `attributes_in_use` looked at."""
    return session.scalar(_SAMPLE) or 0


# All of a million contacts would take seconds; the newest tell what the last imports brought.
_IN_USE = text("""
SELECT name, count(*)
FROM (SELECT attributes FROM contacts ORDER BY id DESC LIMIT 1000) AS newest, jsonb_object_keys(attributes) AS name
GROUP BY name ORDER BY count(*) DESC, name LIMIT 200
""")
_SAMPLE = text("SELECT count(*) FROM (SELECT id FROM contacts ORDER BY id DESC LIMIT 1000) AS newest")
