"""The copies of a proof, page by page: each against its attempts, its stretch and its end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.delivery.attempts import UNSTORED_REPLY
from email_campaign.delivery.proof_checks import Check, Tally


@dataclass(frozen=True, slots=True)
class Page:
    """The positions from `first` to `last`. Attempts up to `put_away_at` (ISO 8601) may be gone."""

    mailing_id: int
    first: int
    last: int
    put_away_at: str | None
    is_settled: bool


def check_page(session: Session, page: Page, tallies: Mapping[Check, Tally]) -> None:
    """Look at every copy of the page with all its attempts, in one statement and so in one snapshot."""
    values = {
        "mailing": page.mailing_id,
        "first": page.first,
        "last": page.last,
        "put_away": page.put_away_at,
        "settled": page.is_settled,
        "unstored": UNSTORED_REPLY,
    }
    read = session.execute(_PAGE, values).one()
    tallies[Check.POSITIONS].checked_count += read.row_count
    tallies[Check.ACCEPTED].checked_count += read.accepted_count
    tallies[Check.ATTEMPTS].checked_count += int(read.attempt_count)
    tallies[Check.STATES].checked_count += read.fresh_count
    tallies[Check.ONCE].checked_count += read.fresh_count
    if page.is_settled:
        tallies[Check.ENDED].checked_count += read.row_count
    # Known to happen: an unknown copy was sent again, and its first mail had been taken after all.
    tallies[Check.ONCE].noted_count += read.again_count
    tallies[Check.ACCEPTED].noted_count += read.hand_count
    for row in sorted(read.wrong, key=lambda row: int(row["position"])):
        for check, words in _wrongs(row):
            tallies[check].add_wrong(words, f"{page.mailing_id}-{row['position']}")


def _wrongs(row: Mapping[str, Any]) -> list[tuple[Check, str]]:
    """What is wrong with a row, each with the check that it breaks."""
    state, counted, logged = row["state"], row["attempt_count"], row["logged"]
    if row["is_orphan"]:
        return [(Check.ATTEMPTS, f"The log has {logged:,} attempts at a copy that is not there.")]
    said = {
        "is_unplaced": (Check.POSITIONS, "No stretch of the enrolment covers its position."),
        "is_unborne": (Check.ACCEPTED, "It is accepted, and no attempt says that the relay took it."),
        "is_miscounted": (Check.ATTEMPTS, _miscounted(counted, logged, row["last"])),
        "is_untold": (Check.STATES, f"It is {state}, and no attempt says so."),
        "is_forgotten": (Check.STATES, f"The relay accepted it, and yet it is {state}."),
        "is_double": (Check.ONCE, f"The relay accepted it {row['bodies']} times."),
        "is_left": (Check.ENDED, f"It is {state}" + (", and due to be tried again." if row["is_due"] else ".")),
    }
    return [wrong for flag, wrong in said.items() if row[flag]]


def _miscounted(counted: int, logged: int, last: int) -> str:
    gap = f", the last with the number {last:,}" if logged == counted else ""
    return f"Attempts that were counted: {counted:,}; that stand in the log: {logged:,}{gap}."


# An accepted attempt without a code is one whose words Postgres refused: the recorder keeps it without them.
_PAGE = text("""
WITH told AS (
    SELECT position, count(*) AS logged, max(number) AS last,
        count(*) FILTER (WHERE verdict = 'accepted' AND phase = 'body') AS bodies,
        bool_or(verdict = 'accepted' AND (phase = 'hand' OR phase = 'body' AND (code BETWEEN 200 AND 299
            OR code IS NULL AND starts_with(reply, :unstored)))) AS is_accepted,
        bool_or(verdict = 'accepted' AND NOT late) AS was_accepted,
        bool_or(verdict = 'accepted' AND phase = 'hand') AS was_decided,
        bool_or(verdict = 'unknown') AS was_unknown,
        array_agg(verdict) AS verdicts
    FROM attempts WHERE mailing_id = :mailing AND position BETWEEN :first AND :last
    GROUP BY position
), copy AS (
    SELECT *, changed_at > coalesce(CAST(:put_away AS timestamptz), '-infinity') AS is_fresh
    FROM deliveries WHERE mailing_id = :mailing AND position BETWEEN :first AND :last
), seen AS (
    SELECT coalesce(d.position, t.position) AS position, d.state, coalesce(d.attempt_count, 0) AS attempt_count,
        coalesce(d.is_fresh, true) AS is_fresh, d.position IS NULL AS is_orphan,
        d.next_attempt_at IS NOT NULL AS is_due, coalesce(t.logged, 0) AS logged, coalesce(t.last, 0) AS last,
        coalesce(t.bodies, 0) AS bodies, coalesce(t.is_accepted, false) AS is_accepted,
        coalesce(t.was_accepted, false) AS was_accepted, coalesce(t.was_decided, false) AS was_decided,
        coalesce(t.was_unknown, false) AS was_unknown,
        coalesce(t.verdicts, '{}') AS verdicts
    FROM copy d FULL JOIN told t ON t.position = d.position
), judged AS (
    SELECT position, state, attempt_count, logged, last, bodies, is_orphan, is_fresh, is_due,
        NOT is_orphan AND NOT EXISTS (
            SELECT FROM stretches s
            WHERE s.mailing_id = :mailing AND seen.position BETWEEN s.first_position AND s.last_position
        ) AS is_unplaced,
        state = 'accepted' AND is_fresh AND NOT is_accepted AS is_unborne,
        logged > attempt_count OR last > attempt_count OR CAST(:put_away AS timestamptz) IS NULL
            AND (logged <> attempt_count OR last <> attempt_count) AS is_miscounted,
        is_fresh AND state IN ('deferred', 'rejected', 'unknown') AND NOT state = ANY (verdicts) AS is_untold,
        was_accepted AND state <> 'accepted' AS is_forgotten,
        bodies > 1 AND NOT was_unknown AS is_double,
        bodies > 1 AND was_unknown AS was_sent_again,
        state = 'accepted' AND is_fresh AND was_decided AND bodies = 0 AS is_by_hand,
        :settled AND (state IN ('pending', 'sending', 'deferred') OR is_due) AS is_left
    FROM seen
)
SELECT count(*) FILTER (WHERE NOT is_orphan) AS row_count, coalesce(sum(logged), 0) AS attempt_count,
    count(*) FILTER (WHERE is_fresh AND NOT is_orphan) AS fresh_count,
    count(*) FILTER (WHERE is_fresh AND state = 'accepted') AS accepted_count,
    count(*) FILTER (WHERE was_sent_again) AS again_count, count(*) FILTER (WHERE is_by_hand) AS hand_count,
    coalesce(jsonb_agg(to_jsonb(judged)) FILTER (
        WHERE is_orphan OR is_unplaced OR is_unborne OR is_miscounted OR is_untold OR is_forgotten OR is_double
            OR is_left
    ), '[]') AS wrong
FROM judged
""")
