"""The sums of a proof: states against audience and counters, stretches against positions, and that all came to an end.

Each is one statement, so that what is compared was read in one snapshot, also while mail is being sent.
"""

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.proof_checks import FOUND_KEPT, Tally


def check_sums(session: Session, mailing_id: int, audience: Tally, counters: Tally, positions: Tally) -> dict[str, int]:
    """The recounted states, compared with the audience and the counters; and the order of the stretches."""
    values = {"mailing": mailing_id, "most": FOUND_KEPT}
    sums = session.execute(_SUMS, values).one()
    audience.checked_count = sum(sums.counted.values())
    if audience.checked_count != sums.enrolled_count:
        audience.add_wrong(f"{sums.enrolled_count:,} were enrolled, and there are {audience.checked_count:,} copies.")
    for state in sums.counted.keys() - set(DeliveryState):
        audience.add_wrong(f"{sums.counted[state]:,} copies are “{state}”, which is no state.")
    counters.checked_count = len(DeliveryState)
    for state in sorted(sums.counted.keys() | sums.shown.keys()):
        rows, shown = sums.counted.get(state, 0), sums.shown.get(state, 0)
        if rows != shown:
            counters.add_wrong(f"The counters say {shown:,} {state}, the rows {rows:,}.")
    _check_stretches(session, values, positions)
    return _in_order(sums.counted)


def check_ended(session: Session, mailing_id: int, ended: Tally) -> None:
    """A settled mailing is enrolled to its end, all of it is cut into slices, and every slice is closed."""
    left = session.execute(_LEFT, {"mailing": mailing_id}).one()
    if not left.is_enrolled:
        ended.add_wrong("The enrolment did not come to its end.")
    if left.uncut:
        ended.add_wrong(f"{left.uncut:,} stretches are not wholly cut into slices.")
    if left.slices:
        ended.add_wrong(f"{left.slices:,} slices are still open.")


def _check_stretches(session: Session, values: Mapping[str, int], positions: Tally) -> None:
    laid = session.execute(_STRETCHES, values).one()
    if laid.overlaps:
        positions.add_wrong(f"{laid.overlaps:,} stretches overlap.")
    if laid.next_position != laid.following:
        positions.add_wrong(f"The next position is {laid.next_position:,}, and the last stretch ends before that.")
    for position in session.scalars(_OUTSIDE, values):
        positions.add_wrong("Its position was never given out.", f"{values['mailing']}-{position}")


def _in_order(counted: Mapping[str, int]) -> dict[str, int]:
    return {state.value: counted.get(state, 0) for state in DeliveryState}


_SUMS = text("""
WITH counted AS (
    SELECT state, count(*) AS count FROM deliveries WHERE mailing_id = :mailing GROUP BY state
), shown AS (
    SELECT state, CAST(sum(count) AS bigint) AS count FROM counters WHERE mailing_id = :mailing GROUP BY state
)
SELECT m.enrolled_count,
    (SELECT coalesce(jsonb_object_agg(state, count), '{}') FROM counted) AS counted,
    (SELECT coalesce(jsonb_object_agg(state, count), '{}') FROM shown) AS shown
FROM mailings m WHERE m.id = :mailing
""")

_STRETCHES = text("""
SELECT m.next_position,
    (SELECT coalesce(max(last_position), 0) + 1 FROM stretches WHERE mailing_id = :mailing) AS following,
    (SELECT count(*) FROM stretches a JOIN stretches b ON b.mailing_id = a.mailing_id
        AND b.first_position > a.first_position AND b.first_position <= a.last_position
        WHERE a.mailing_id = :mailing) AS overlaps
FROM mailings m WHERE m.id = :mailing
""")

_OUTSIDE = text("""
SELECT position FROM deliveries WHERE mailing_id = :mailing AND position < 1
UNION ALL
SELECT d.position FROM mailings m JOIN deliveries d ON d.mailing_id = m.id AND d.position >= m.next_position
WHERE m.id = :mailing
ORDER BY position LIMIT :most
""")

_LEFT = text("""
SELECT m.enrolled_at IS NOT NULL AS is_enrolled,
    (SELECT count(*) FROM stretches WHERE mailing_id = :mailing AND frontier <= last_position) AS uncut,
    (SELECT count(*) FROM slices WHERE mailing_id = :mailing AND closed_at IS NULL) AS slices
FROM mailings m WHERE m.id = :mailing
""")
