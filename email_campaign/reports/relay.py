"""How the relay is doing: who sends through it now, over how many connections, how fast."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from email_campaign.delivery.workers import Worker
from email_campaign.reports.progress import rate_now


@dataclass(frozen=True, slots=True)
class Traffic:
    """Send processes that live, their open connections, and mails per second of all campaigns, as measured last."""

    worker_count: int
    connection_count: int
    rate_per_second: float


def traffic(session: Session) -> Traffic:
    """Read from the living workers and the mailings that are being sent."""
    alive = select(func.count(), func.coalesce(func.sum(Worker.connection_count), 0)).where(Worker.ended_at.is_(None))
    worker_count, connection_count = session.execute(alive).one()
    return Traffic(worker_count, int(connection_count), rate_now(session))
