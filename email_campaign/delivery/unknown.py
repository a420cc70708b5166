"""Unknown copies, resolved by hand: the relay has it, it was not delivered, or it is sent again."""

import enum
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import Mailing, MailingState, get_for_update, note, reopen
from email_campaign.delivery.deliveries import count_moves
from email_campaign.errors import Conflict

PAGE = 2_000
"""Copies that are resolved in one statement: about a tenth of a second."""


class Resolution(enum.StrEnum):
    """What a person says of an unknown copy. A resend has the same Message-ID, and may arrive twice."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    RESEND = "resend"


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decided what. What became unknown after `until` is not meant: nobody had seen it yet."""

    resolution: Resolution
    actor: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Resolved:
    """How many copies were resolved, and where the next page begins: None when this was the last one."""

    count: int
    next_position: int | None


def resolve(session: Session, mailing_id: int, positions: Collection[int], decision: Decision, now: datetime) -> int:
    """Resolve those of these copies that are unknown; a resend leaves out what is due already. Returns how many.

    Each gets an attempt of the phase `hand`. A resend opens a finished mailing again. Raises NotFound, and Conflict for
    a resend of a mailing that is cancelled. Safe to repeat, and beside a late result: whoever comes second finds the
    copy resolved.
    """
    resolved = _resolve(session, mailing_id, _LISTED.bindparams(positions=sorted(positions)), decision, now)
    if resolved:
        tell(session, mailing_id, decision, len(resolved))
    return len(resolved)


def resolve_copies(session: Session, keys: Collection[tuple[int, int]], decision: Decision, now: datetime) -> int:
    """Like `resolve`, for copies of any mailings, by mailing and position."""
    by_mailing: dict[int, list[int]] = {}
    for mailing_id, position in sorted(keys):  # everybody locks mailings in this order
        by_mailing.setdefault(mailing_id, []).append(position)
    return sum(resolve(session, mailing_id, positions, decision, now) for mailing_id, positions in by_mailing.items())


def resolve_page(session: Session, mailing_id: int, first: int, decision: Decision, now: datetime) -> Resolved:
    """Resolve like `resolve` the next 2,000 unknown copies from this position on; the timeline is the caller's."""
    resolved = _resolve(session, mailing_id, _PAGE.bindparams(first=first, most=PAGE), decision, now)
    return Resolved(len(resolved), max(resolved) + 1 if len(resolved) == PAGE else None)


def tell(session: Session, mailing_id: int, decision: Decision, count: int) -> None:
    """Write into the timeline what somebody decided about so many copies."""
    note(session, mailing_id, actor=decision.actor, kind=f"unknown_{decision.resolution}", detail=str(count))


def _resolve(session: Session, mailing_id: int, statement: TextClause, decision: Decision, now: datetime) -> list[int]:
    """Under the mailing's lock, which late results and changes of the policy take too."""
    mailing = get_for_update(session, mailing_id)
    is_resend = decision.resolution is Resolution.RESEND
    if is_resend and mailing.state is MailingState.CANCELLED:
        raise Conflict(f"Nothing of a {mailing.kind} that is cancelled is sent again; say what became of each copy.")
    values = {
        "mailing": mailing_id,
        "resend": is_resend,
        "state": "unknown" if is_resend else decision.resolution.value,
        "reason": "not_delivered" if decision.resolution is Resolution.REJECTED else None,
        "relay": mailing.relay_id,
        "words": f"{decision.actor}: {_WORDS[decision.resolution]}",
        "until": decision.until,
        "now": now,
    }
    positions = list(session.scalars(statement, values))
    if positions and is_resend:
        _open_again(session, mailing, decision)
    elif positions:
        count_moves(session, mailing_id, {"unknown": -len(positions), decision.resolution: len(positions)})
    return positions


def _open_again(session: Session, mailing: Mailing, decision: Decision) -> None:
    if mailing.state is MailingState.FINISHED:
        reopen(session, mailing, actor=decision.actor, detail="Unknown copies are sent again.")


_WORDS = {
    Resolution.ACCEPTED: "the relay has it.",
    Resolution.REJECTED: "it was not delivered.",
    Resolution.RESEND: "send it again.",
}

# A resend has its retries and its time limit before it anew, as after any retry by hand.
_RESOLVE = """
WITH chosen AS (
    SELECT mailing_id, position FROM deliveries
    WHERE mailing_id = :mailing AND trouble = 'unknown' AND changed_at <= :until
        AND NOT (:resend AND coalesce(next_attempt_at <= :now, false)) AND {which} FOR UPDATE
), resolved AS (
    UPDATE deliveries d
    SET state = :state, attempt_count = d.attempt_count + 1,
        spared_count = CASE WHEN :resend THEN d.attempt_count ELSE d.spared_count END + 1,
        first_attempt_at = CASE WHEN NOT :resend THEN d.first_attempt_at END,
        next_attempt_at = CASE WHEN :resend THEN CAST(:now AS timestamptz) END,
        reason = CASE WHEN :resend THEN d.reason ELSE :reason END,
        changed_at = CASE WHEN :resend THEN d.changed_at ELSE :now END
    FROM chosen WHERE d.mailing_id = chosen.mailing_id AND d.position = chosen.position
    RETURNING d.mailing_id, d.position, d.attempt_count
)
INSERT INTO attempts (mailing_id, position, number, worker_id, relay_id, started_at, finished_at, spared, late, verdict,
    phase, reply)
SELECT mailing_id, position, attempt_count, 0, :relay, :now, :now, true, false, :state, 'hand', :words FROM resolved
RETURNING position
"""
_LISTED = text(_RESOLVE.format(which="position = ANY (CAST(:positions AS bigint[])) ORDER BY position"))
_PAGE = text(_RESOLVE.format(which="position >= :first ORDER BY position LIMIT :most"))
