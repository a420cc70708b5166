"""The recount: counters against rows, in one statement, with the difference added where there is one."""

import logging
import time
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import Mailing
from email_campaign.db import SessionFactory

log = logging.getLogger(__name__)

RECOUNT_LOCK = 0x6D64
LOOK_BACK = timedelta(days=35)
SECONDS = 20.0
"""A mailing of ten million copies takes some seconds, and a task has no more than a minute."""


def recount(session: Session, mailing_id: int) -> dict[str, int]:
    """Set the counters of a mailing to what its rows say. The differences that were found, by state: none, if all is
    well. Safe while the mailing is sending, since rows and counters are read in one snapshot. Safe to repeat."""
    # Two at once would add the same difference twice; a statement of its own, so that the second sees the first.
    session.execute(select(func.pg_advisory_xact_lock(RECOUNT_LOCK)))
    return {row.state: row.difference for row in session.execute(_RECOUNT, {"mailing": mailing_id})}


def recount_recent(factory: SessionFactory, now: datetime, after: int, seconds: float = SECONDS) -> int | None:
    """Recount the mailings that were launched in the last weeks, each in a transaction of its own, from the one `after`
    this on and for about so many seconds. The last one, to go on after; None when it was the last of all."""
    until = time.monotonic() + seconds
    recent = select(Mailing.id).where(Mailing.launched_at > now - LOOK_BACK, Mailing.id > after).order_by(Mailing.id)
    with factory() as session:
        mailing_ids = list(session.scalars(recent))
    for mailing_id in mailing_ids:
        with factory.begin() as session:
            if found := recount(session, mailing_id):
                log.error(
                    "the counters of mailing %d were wrong and are mended: %s",
                    mailing_id,
                    found,
                    extra={"mailing": mailing_id},
                )
        if time.monotonic() >= until and mailing_id != mailing_ids[-1]:
            return mailing_id
    return None


_RECOUNT = text("""
WITH counted AS (
    SELECT state, count(*) AS count FROM deliveries WHERE mailing_id = :mailing GROUP BY state
), shown AS (
    SELECT state, sum(count) AS count FROM counters WHERE mailing_id = :mailing GROUP BY state
), difference AS (
    SELECT state, CAST(coalesce(counted.count, 0) - coalesce(shown.count, 0) AS bigint) AS difference
    FROM counted FULL JOIN shown USING (state) WHERE coalesce(counted.count, 0) <> coalesce(shown.count, 0)
), mended AS (
    INSERT INTO counters (mailing_id, worker_id, state, count)
    SELECT :mailing, 0, state, difference FROM difference ORDER BY state
    ON CONFLICT (mailing_id, worker_id, part, state) DO UPDATE SET count = counters.count + excluded.count
)
SELECT state, difference FROM difference ORDER BY state
""")
