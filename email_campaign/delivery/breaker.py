"""The campaign's breaker: when relays refuse the sender, going on would only ruin its name."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import halt

SENDERS_FAULT = ("policy", "sender_address", "content")
"""Reasons of `replies.judge` that speak of us and not of the recipient."""
LEAST_REFUSED = 20
LEAST_DOMAINS = 3
LEAST_SHARE = 0.2


def trip_if_refused(session: Session, mailing_id: int) -> bool:
    """Pause a sending campaign of which many copies over several domains were refused for what we are or say.

    At least 20, over at least 3 domains, and a fifth of all that were answered since it was last resumed.
    """
    bounds = {"least": LEAST_REFUSED, "share": LEAST_SHARE, "most": 10_000}
    row = session.execute(_REFUSED, {"mailing": mailing_id, "reasons": list(SENDERS_FAULT), **bounds}).one()
    if row.refused < LEAST_REFUSED or row.domains < LEAST_DOMAINS or row.refused / max(1, row.answered) < LEAST_SHARE:
        return False
    count = f"{row.refused} copies over {row.domains} domains"
    return halt(session, mailing_id, f"{count} were refused because of the sender, such as: {row.example}")


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
    (SELECT count FROM answered) AS answered,
    (SELECT concat_ws(' ', a.code, a.enhanced_code, a.reply) FROM attempts a JOIN refused USING (position)
        WHERE a.mailing_id = :mailing AND a.verdict = 'rejected' LIMIT 1) AS example
""")
