"""Compares a campaign with the log of its relay, by Message-ID: what we call accepted must stand there, once.

Read is every line that holds a Message-ID of this campaign. A line of Postfix's cleanup (`QUEUEID: message-id=<…>`) or
of Exim's arrival (`ID <= … id=…`) stands for one mail that was taken. These are counted by queue id, apart for each
program that writes, since a content filter hands a mail in again. Any other line only says that the mail was seen.
"""

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import text

from email_campaign.campaigns.mailings import Mailing
from email_campaign.db import SessionFactory
from email_campaign.delivery.compose import derive_message_id
from email_campaign.delivery.orders import derive_keys
from email_campaign.delivery.proof import Verdict
from email_campaign.delivery.proof_checks import FOUND_KEPT, Finding
from email_campaign.settings import Settings

PAGE = 10_000

_MESSAGE_ID = re.compile(rb"(?<![0-9a-f])([0-9a-f]{32})@")
_TAKEN = (
    re.compile(rb"(\S+?)(?:\[\d+\])?: ([0-9A-Za-z]{6,}): message-id="),
    re.compile(rb"(?:^|\s)()([0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4}) <= .* id="),
)
"""Postfix, Exim: the program that writes, and the queue id of the mail that it took."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a relay's log says of a campaign. Wrong copies are counted, and the first of each kind named in `found`.

    `named_count` copies stand in the log. `missing` are accepted and do not; `doubled` were taken more often than a
    body was handed over; `strange` stand there though no attempt handed a body over. `unknown` copies that stand there
    are no failure, but an answer: the relay has seen them.
    """

    named_count: int
    accepted_count: int
    missing_count: int
    doubled_count: int
    strange_count: int
    unknown_count: int
    found: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """A log that names no copy at all is that of another relay, or of another time."""
        if self.accepted_count and not self.named_count:
            return Verdict.NOT_CHECKED
        is_wrong = self.missing_count or self.doubled_count or self.strange_count
        return Verdict.DOES_NOT_HOLD if is_wrong else Verdict.HOLDS


def compare(factory: SessionFactory, mailing_id: int, settings: Settings, log: Iterable[bytes]) -> Compared:
    """Read the copies page by page, then the log line by line; both wait in a temporary file, so memory stays flat.

    Copies whose attempts were put away can be missing, but neither doubled nor strange: nobody knows any more how
    often a body went out. Changes nothing.
    """
    with closing(sqlite3.connect("", isolation_level=None)) as notes:  # "" is a file that goes with its connection
        notes.executescript(_TABLES)
        notes.executemany("INSERT INTO copies VALUES (?, ?, ?, ?)", _copies(factory, mailing_id, settings))
        notes.executemany(_SEE, _mentions(log))
        notes.execute("COMMIT")
        return _judge(notes, mailing_id)


def _copies(
    factory: SessionFactory, mailing_id: int, settings: Settings
) -> Iterator[tuple[bytes, int, str, int | None]]:
    """Message-ID, position, state, and how many bodies were handed over (None: put away)."""
    key, after = derive_keys(settings).message_id, 0
    with factory() as session:
        from_address = session.get_one(Mailing, mailing_id).from_address
    while True:
        with factory() as session:
            rows = session.execute(_COPIES, {"mailing": mailing_id, "after": after, "size": PAGE}).all()
        for row in rows:
            message_id = derive_message_id(key, mailing_id, row.position, from_address)
            yield bytes.fromhex(message_id[1:33]), row.position, row.state, row.bodies
        if len(rows) < PAGE:
            return
        after = rows[-1].position


def _mentions(log: Iterable[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Message-ID, program and queue id; the latter two are empty where the line does not say that a mail was taken."""
    for line in log:
        for message_id in _MESSAGE_ID.findall(line):
            taken = next(filter(None, (pattern.search(line) for pattern in _TAKEN)), None)
            yield bytes.fromhex(message_id.decode()), taken[1] if taken else b"", taken[2] if taken else b""


def _judge(notes: sqlite3.Connection, mailing_id: int) -> Compared:
    counts: dict[str, int] = {}
    found: list[Finding] = []
    for kind, (condition, words) in _KINDS.items():
        rows = notes.execute(f"SELECT position, state, bodies, named, taken FROM judged WHERE {condition}")  # noqa: S608 – a constant
        counts[kind] = 0
        for position, state, bodies, _, taken in rows:
            counts[kind] += 1
            if words and counts[kind] <= FOUND_KEPT:
                said = words.format(state=state, bodies=bodies, taken=taken)
                found.append(Finding(f"{mailing_id}-{position}", said))
    return Compared(**{f"{kind}_count": count for kind, count in counts.items()}, found=tuple(found))


_KINDS = {
    "named": ("named", ""),
    "accepted": ("state = 'accepted'", ""),
    "missing": ("state = 'accepted' AND NOT named", "It is accepted, and the relay's log does not name it."),
    "doubled": (
        "taken > bodies AND bodies > 0",
        "Bodies that were handed over: {bodies}; mails that were taken: {taken}.",
    ),
    "strange": ("named AND bodies = 0", "It is {state} and no body was handed over, but the relay's log names it."),
    "unknown": ("named AND state = 'unknown'", "It is unknown, and the relay's log names it."),
}

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE copies (message_id BLOB PRIMARY KEY, position INTEGER, state TEXT, bodies INTEGER) WITHOUT ROWID;
CREATE TABLE seen (message_id BLOB, program BLOB, queue_id BLOB, PRIMARY KEY (message_id, program, queue_id))
    WITHOUT ROWID;
CREATE VIEW judged AS
    SELECT position, state, bodies, named IS NOT NULL AS named, coalesce(taken, 0) AS taken
    FROM copies LEFT JOIN (
        SELECT message_id, 1 AS named, max(taken) AS taken FROM (
            SELECT message_id, program, sum(queue_id <> x'') AS taken FROM seen GROUP BY message_id, program
        ) GROUP BY message_id
    ) USING (message_id) ORDER BY position;
BEGIN;
"""
_SEE = """
INSERT OR IGNORE INTO seen SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM copies WHERE message_id = ?1)
"""

# A copy that was taken from its worker has an attempt of the sweep, and maybe a late one of the worker: one body.
_COPIES = text("""
SELECT d.position, d.state, CASE
    WHEN d.changed_at <= m.attempts_put_away_at THEN NULL
    ELSE (
        SELECT count(*) FILTER (WHERE a.phase = 'body') + greatest(0, count(*) FILTER (WHERE a.phase = 'sweep')
            - count(*) FILTER (WHERE a.late AND a.phase IN ('data', 'body')))
        FROM attempts a WHERE a.mailing_id = d.mailing_id AND a.position = d.position
    ) END AS bodies
FROM deliveries d JOIN mailings m ON m.id = d.mailing_id
WHERE d.mailing_id = :mailing AND d.position > :after
ORDER BY d.position LIMIT :size
""")
