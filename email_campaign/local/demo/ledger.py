"""What the crash demo reads in the ledger: bodies under way, what a worker holds, and when work went on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.delivery.compose import derive_message_id
from email_campaign.delivery.orders import derive_keys
from email_campaign.local.demo.verdict import Copy
from email_campaign.settings import Settings


@dataclass(frozen=True, slots=True)
class Busy:
    """A send process with bodies under way, and the positions that it holds a lease on."""

    worker_id: int
    pid: int
    body_count: int
    positions: Sequence[int]


def audience_of(session: Session, list_id: int) -> list[str]:
    """The addresses that are confirmed on the list."""
    return list(session.scalars(_AUDIENCE, {"list": list_id}))


def busy_workers(session: Session, mailing_id: int) -> list[Busy]:
    """The send processes with bodies of this mailing under way, the busiest first."""
    return [Busy(*row) for row in session.execute(_BUSY, {"mailing": mailing_id})]


def back_at_work(session: Session, mailing_id: int, killed_at: datetime) -> datetime | None:
    """When the first mail was accepted of work that was handed out and leased after the kill."""
    found: datetime | None = session.scalar(_BACK, {"mailing": mailing_id, "killed_at": killed_at})
    return found


def taken_over(session: Session, mailing_id: int, dead: Busy) -> datetime | None:
    """When another worker had the first mail accepted of what the dead one held; None where nothing was left."""
    values = {"mailing": mailing_id, "positions": list(dead.positions), "worker": dead.worker_id}
    found: datetime | None = session.scalar(_TAKEN_OVER, values)
    return found


def copies_of(session: Session, mailing_id: int, settings: Settings) -> list[Copy]:
    """Every row of the mailing, with the Message-ID that its mail must carry."""
    key = derive_keys(settings).message_id
    return [
        Copy(row.address, row.state, derive_message_id(key, mailing_id, row.position, row.from_address))
        for row in session.execute(_COPIES, {"mailing": mailing_id})
    ]


_AUDIENCE = text("""
SELECT c.address FROM subscriptions s JOIN contacts c ON c.id = s.contact_id
WHERE s.list_id = :list AND s.state = 'confirmed' ORDER BY c.id
""")

_BUSY = text("""
SELECT w.id, w.pid, count(*) FILTER (WHERE d.state = 'sending') AS bodies, array_agg(d.position)
FROM workers w
JOIN slices s ON s.worker_id = w.id AND s.closed_at IS NULL
JOIN deliveries d ON d.mailing_id = s.mailing_id AND (
    s.positions IS NULL AND d.slice_id IS NULL AND d.position BETWEEN s.first_position AND s.last_position
    OR s.positions IS NOT NULL AND d.slice_id = s.id AND d.position = ANY (s.positions))
WHERE s.mailing_id = :mailing AND w.ended_at IS NULL AND d.state IN ('pending', 'sending')
GROUP BY w.id, w.pid
HAVING count(*) FILTER (WHERE d.state = 'sending') > 0
ORDER BY bodies DESC, w.id
""")

# What was published after the kill came to its worker through a broker that lived after it.
_BACK = text("""
SELECT min(a.finished_at) FROM slices s
JOIN attempts a ON a.mailing_id = s.mailing_id AND a.finished_at >= s.leased_at AND a.verdict = 'accepted'
    AND CASE WHEN s.positions IS NULL THEN a.position BETWEEN s.first_position AND s.last_position
        ELSE a.position = ANY (s.positions) END
WHERE s.mailing_id = :mailing AND s.published_at > :killed_at AND s.leased_at > :killed_at
""")

_TAKEN_OVER = text("""
SELECT min(finished_at) FROM attempts
WHERE mailing_id = :mailing AND position = ANY (:positions) AND worker_id NOT IN (0, :worker) AND verdict = 'accepted'
""")

_COPIES = text("""
SELECT d.position, d.state, c.address, m.from_address
FROM deliveries d JOIN mailings m ON m.id = d.mailing_id LEFT JOIN contacts c ON c.id = d.contact_id
WHERE d.mailing_id = :mailing ORDER BY d.position
""")
