"""What was spent of a long limit, read from the attempts: the limiter's memory when its broker has lost its own."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.delivery.throttle import Limit
from email_campaign.delivery.throttle_scripts import PIECES


def spent_in_window(session: Session, limit: Limit, *, with_grants_in_hand: bool) -> list[tuple[float, int]]:
    """How many mails a relay or a mailing wrote an envelope for, by the time (seconds since 1970) of the last of each
    piece of the window; last what is in hand now.

    In hand is what has no answer yet, and `with_grants_in_hand` a mail for each connection, as far as copies are
    leased: rather too much than too little. A whole day of a large relay takes seconds to count: not for an event loop.
    """
    subject, subject_id = limit.key.split(":")[:2]
    values = {"id": int(subject_id), "seconds": limit.seconds, "piece": limit.seconds / PIECES}
    in_hand_values = {"id": int(subject_id), "grants": with_grants_in_hand}
    gone = session.execute(_GONE[subject], values).all()
    in_hand = session.execute(_IN_HAND[subject], in_hand_values).one()
    return [(float(row.at), row.spent) for row in gone] + [(float(in_hand.at), in_hand.spent)]


_WHOSE = {"relay": "relay_id = :id", "mailing": "mailing_id = :id"}

# `finished_at` is never before the grant, so nothing is forgotten too early.
_GONE = {
    subject: text(f"""
SELECT extract(epoch FROM max(finished_at)) AS at, count(*) AS spent FROM attempts
WHERE finished_at > now() - make_interval(secs => :seconds) AND {whose}
    AND phase IN ('mail', 'rcpt', 'data', 'body', 'sweep')
GROUP BY floor(extract(epoch FROM finished_at) / :piece) ORDER BY 1
""")  # noqa: S608 – constants of this file only
    for subject, whose in _WHOSE.items()
}

_IN_HAND = {
    subject: text(f"""
WITH mine AS (
    SELECT id FROM mailings WHERE settled_at IS NULL AND launched_at IS NOT NULL AND {whose}
)
SELECT extract(epoch FROM now()) AS at,
    (SELECT coalesce(sum(c.count), 0) FROM counters c JOIN mine ON mine.id = c.mailing_id
        WHERE c.state = 'sending')::int
    + CASE WHEN :grants THEN least(
        (SELECT coalesce(sum(connection_count), 0) FROM workers WHERE ended_at IS NULL),
        (SELECT coalesce(sum(s.row_count), 0) FROM slices s JOIN mine ON mine.id = s.mailing_id
            WHERE s.worker_id IS NOT NULL AND s.closed_at IS NULL)) ELSE 0 END::int AS spent
""")  # noqa: S608 – constants of this file only
    for subject, whose in {"relay": "relay_id = :id", "mailing": "id = :id"}.items()
}
