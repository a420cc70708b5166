"""The campaign's breaker: when relays refuse the sender, going on would only ruin its name."""

from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import halt
from email_campaign.log import blot_addresses

SENDERS_FAULT = ("policy", "sender_address", "content", "too_large")
"""Reasons of `replies.judge` that speak of us and not of the recipient."""
LEAST_REFUSED = 20
LEAST_DOMAINS = 3
LEAST_SHARE = 0.2
LATEST_OWN, LATEST_ALL = 500.0, 100_000.0
"""How many answers, of the mailing and of all, the latest are."""


def trip_if_refused(session: Session, mailing_id: int) -> bool:
    """Pause a sending campaign of which many copies over several domains were refused for what we are or say.

    At least 20, over at least 3 domains, and a fifth of what was answered: of all since it was last resumed, or of the
    latest, since what went well for hours does not make up for what goes wrong now.
    """
    bounds = {"mailing": mailing_id, "reasons": list(SENDERS_FAULT), "least": LEAST_REFUSED, "share": LEAST_SHARE}
    whole = session.execute(_REFUSED, {**bounds, "most": 10_000}).one()
    if _is_too_much(whole):
        return halt(session, mailing_id, _why(whole))
    if whole.rejected < LEAST_REFUSED:
        return False
    since = session.scalar(_LATELY, {"mailing": mailing_id, "own": LATEST_OWN, "all": LATEST_ALL})
    latest = session.execute(_REFUSED_LATELY, {**bounds, "since": since}).one()
    return _is_too_much(latest) and halt(session, mailing_id, _why(latest))


def _is_too_much(row: Row[Any]) -> bool:
    return bool(
        row.refused >= LEAST_REFUSED and row.domains >= LEAST_DOMAINS and row.refused >= LEAST_SHARE * row.answered
    )


def _why(row: Row[Any]) -> str:
    count = f"{row.refused} copies over {row.domains} domains"
    return f"{count} were refused because of the sender, such as: {blot_addresses(row.example or '')}"


# Only where so many were rejected at all, by the counters, are the rows asked why: they may be many.
_REFUSED = text("""
WITH since AS (
    SELECT coalesce(max(at), '-infinity') AS at FROM mailing_events WHERE mailing_id = :mailing AND kind = 'sending'
), answered AS (
    SELECT CAST(coalesce(sum(count), 0) AS bigint) AS count,
        CAST(coalesce(sum(count) FILTER (WHERE state = 'rejected'), 0) AS bigint) AS rejected
    FROM counters WHERE mailing_id = :mailing AND state IN ('accepted', 'rejected')
), refused AS (
    SELECT d.position, split_part(c.address, '@', 2) AS domain
    FROM deliveries d LEFT JOIN contacts c ON c.id = d.contact_id CROSS JOIN since
    WHERE (SELECT rejected >= :least AND rejected >= :share * count FROM answered)
        AND d.mailing_id = :mailing AND d.trouble = 'rejected' AND d.reason = ANY (:reasons) AND d.changed_at > since.at
    LIMIT :most
)
SELECT (SELECT count(*) FROM refused) AS refused, (SELECT count(DISTINCT domain) FROM refused) AS domains,
    (SELECT count FROM answered) AS answered, (SELECT rejected FROM answered) AS rejected,
    (SELECT concat_ws(' ', a.code, a.enhanced_code, a.reply) FROM attempts a JOIN refused USING (position)
        WHERE a.mailing_id = :mailing AND a.verdict = 'rejected' LIMIT 1) AS example
""")

# The time of some hundred answers of this mailing, but not of more of all mailings than are counted in a moment.
_LATELY = text("""
SELECT greatest(
    now() - make_interval(secs => least(3600, greatest(15, least(
        :own / greatest(m.rate_per_second, 0.01),
        :all / greatest((SELECT sum(rate_per_second) FROM workers WHERE ended_at IS NULL), 0.01))))),
    (SELECT max(at) FROM mailing_events WHERE mailing_id = m.id AND kind = 'sending'))
FROM mailings m WHERE m.id = :mailing
""")

_REFUSED_LATELY = text("""
WITH recent AS MATERIALIZED (
    SELECT position, verdict, concat_ws(' ', code, enhanced_code, reply) AS words FROM attempts
    WHERE finished_at > :since AND mailing_id = :mailing AND verdict IN ('accepted', 'rejected')
), refused AS (
    SELECT r.words, split_part(c.address, '@', 2) AS domain
    FROM recent r JOIN deliveries d ON d.mailing_id = :mailing AND d.position = r.position
        LEFT JOIN contacts c ON c.id = d.contact_id
    WHERE r.verdict = 'rejected' AND d.trouble = 'rejected' AND d.reason = ANY (:reasons)
)
SELECT (SELECT count(*) FROM recent) AS answered, count(*) AS refused, count(DISTINCT domain) AS domains,
    max(words) AS example
FROM refused
""")
