"""The proof of a mailing: everything is recounted from rows, in short steps, and what does not hold is named.

No transaction lasts long: sums are read in one statement, so in one snapshot; what is said of single copies is read
page by page, each copy and its attempts in one snapshot. So a proof holds while mail is being sent, too.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from psycopg.errors import QueryCanceled
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import Mailing, MailingKind
from email_campaign.db import SessionFactory
from email_campaign.delivery import proof_enrolment, proof_rows, proof_sums
from email_campaign.delivery.proof_checks import OF_ATTEMPTS, Check, Tally
from email_campaign.errors import Conflict, NotFound

PAGE = 10_000
"""Positions a step: about a tenth of a second."""
STEP_SECONDS = 30
"""No transaction of ours lasts longer; a check that needs more is given up, and says so."""


class Verdict(enum.StrEnum):
    """What a proof comes to."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does_not_hold"
    NOT_CHECKED = "not_checked"


class Part(enum.StrEnum):
    """What a proof is at; each goes on in pages until it is done, then comes the next."""

    SUMS = "sums"
    ROWS = "rows"
    CONTACTS = "contacts"
    ADDRESSES = "addresses"
    MEMBERS = "members"
    END = "end"


@dataclass(frozen=True, slots=True)
class Subject:
    """The mailing as it was when the proof began. Times are ISO 8601; `end` is the first position that was not used.

    `settled_at` is None while something is left to do. Attempts up to `put_away_at` may be gone.
    """

    mailing_id: int
    state: str
    began_at: str
    launched_at: str
    settled_at: str | None
    put_away_at: str | None
    is_enrolled: bool
    list_ids: tuple[int, ...]
    end: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What was checked and what came of it. `counts` are the recounted states."""

    subject: Subject
    counts: Mapping[str, int]
    tallies: tuple[Tally, ...]

    @property
    def verdict(self) -> Verdict:
        """One thing wrong and it does not hold; what could not be checked is no proof either."""
        if any(tally.wrong_count for tally in self.tallies):
            return Verdict.DOES_NOT_HOLD
        return Verdict.NOT_CHECKED if any(tally.failed for tally in self.tallies) else Verdict.HOLDS

    def to_json(self) -> dict[str, Any]:
        """As it is kept with a task and stands in an export."""
        subject = {**asdict(self.subject), "list_ids": list(self.subject.list_ids)}
        tallies = [tally.to_json() for tally in self.tallies]
        return {"verdict": self.verdict.value, "subject": subject, "counts": dict(self.counts), "tallies": tallies}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        subject = Subject(**{**kept["subject"], "list_ids": tuple(kept["subject"]["list_ids"])})
        return cls(subject, kept["counts"], tuple(Tally.from_json(one) for one in kept["tallies"]))


@dataclass(slots=True)
class Proving:
    """A proof that is being made: the next part, where it goes on, and the result so far."""

    proof: Proof
    part: Part
    after: list[Any]
    done_count: int

    @property
    def total_count(self) -> int:
        """About as many rows as will have been looked at in the end."""
        return 4 * (self.proof.subject.end - 1)

    def to_json(self) -> dict[str, Any]:
        """As a task's cursor."""
        return {
            "proof": self.proof.to_json(),
            "part": self.part.value,
            "after": self.after,
            "done_count": self.done_count,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(Proof.from_json(kept["proof"]), Part(kept["part"]), list(kept["after"]), kept["done_count"])


def prove(
    factory: SessionFactory, mailing_id: int, now: datetime, seen: Callable[[Proving], None] = lambda _: None
) -> Proof:
    """Make the whole proof; `seen` is called after each step. Raises NotFound, and Conflict for what was not launched.

    Changes nothing. Safe to repeat.
    """
    with factory() as session:
        proving = begin(session, mailing_id, now)
    more = True
    while more:
        with factory() as session:
            more = advance(session, proving)
        seen(proving)
    return proving.proof


def begin(session: Session, mailing_id: int, now: datetime) -> Proving:
    """A proof of which nothing is done yet. Raises NotFound, and Conflict for a mailing that was never launched."""
    mailing = session.get(Mailing, mailing_id, populate_existing=True)
    if mailing is None:
        raise NotFound(f"There is no campaign {mailing_id}.")
    if mailing.launched_at is None:
        raise Conflict(f"The {mailing.kind} {mailing_id} is {mailing.state} and was never launched: nothing to prove.")
    subject = Subject(
        mailing_id=mailing_id,
        state=mailing.state.value,
        began_at=now.isoformat(),
        launched_at=mailing.launched_at.isoformat(),
        settled_at=mailing.settled_at.isoformat() if mailing.settled_at else None,
        put_away_at=mailing.attempts_put_away_at.isoformat() if mailing.attempts_put_away_at else None,
        is_enrolled=mailing.enrolled_at is not None,
        list_ids=tuple(mailing.list_ids) if mailing.kind is MailingKind.CAMPAIGN else (),
        end=mailing.next_position,
    )
    tallies = {check: Tally(check) for check in Check}
    if subject.put_away_at:
        for check in OF_ATTEMPTS:
            tallies[check].remark = f"The attempts were put away on {subject.put_away_at[:10]}: only newer ones count."
    if subject.settled_at is None:
        tallies[Check.ENDED].remark = f"It is {subject.state}: this is checked when it has come to its end."
    return Proving(Proof(subject, {}, tuple(tallies.values())), Part.SUMS, [], 0)


def advance(session: Session, proving: Proving) -> bool:
    """Do the next step, which is read in the session's transaction; whether there is more to do."""
    part = proving.part
    try:
        with session.begin_nested():
            session.execute(_TIMEOUT)
            proving.after = _PARTS[part](session, proving)
    except OperationalError as error:
        if not isinstance(error.orig, QueryCanceled):
            raise
        for check in _CHECKS_OF[part]:
            _tally(proving, check).failed = f"It took longer than {STEP_SECONDS} s, and was given up."
        proving.after = []
    if not proving.after:
        following = list(Part)[list(Part).index(part) + 1 :]
        if not following:
            return False
        proving.part = following[0]
    return True


def _sums(session: Session, proving: Proving) -> list[Any]:
    subject = proving.proof.subject
    tallies = [_tally(proving, check) for check in _CHECKS_OF[Part.SUMS]]
    counts = proof_sums.check_sums(session, subject.mailing_id, *tallies)
    proving.proof = Proof(subject, counts, proving.proof.tallies)
    return []


def _rows(session: Session, proving: Proving) -> list[Any]:
    subject = proving.proof.subject
    first = proving.after[0] if proving.after else 1
    page = proof_rows.Page(
        mailing_id=subject.mailing_id,
        first=first,
        last=min(first + PAGE, subject.end) - 1,
        put_away_at=subject.put_away_at,
        is_settled=subject.settled_at is not None,
    )
    proof_rows.check_page(session, page, {check: _tally(proving, check) for check in _CHECKS_OF[Part.ROWS]})
    proving.done_count += page.last - first + 1
    return [page.last + 1] if page.last + 1 < subject.end else []


def _contacts(session: Session, proving: Proving) -> list[Any]:
    return _unique(session, proving, proof_enrolment.CONTACT)


def _addresses(session: Session, proving: Proving) -> list[Any]:
    return _unique(session, proving, proof_enrolment.ADDRESS)


def _unique(session: Session, proving: Proving, key: proof_enrolment.Key) -> list[Any]:
    page = proof_enrolment.Page(proving.proof.subject.mailing_id, proving.after, PAGE)
    read, after = proof_enrolment.check_unique(session, key, page, _tally(proving, Check.UNIQUE))
    proving.done_count += read
    return after


def _members(session: Session, proving: Proving) -> list[Any]:
    subject, tally = proving.proof.subject, _tally(proving, Check.MEMBERS)
    if not subject.list_ids:
        tally.remark = "It was sent to an address, not to a list."
        return []
    if not subject.is_enrolled:
        tally.remark = "The audience is still being enrolled."
        return []
    page = proof_enrolment.Page(subject.mailing_id, proving.after, PAGE)
    read, after = proof_enrolment.check_members(session, page, tally)
    proving.done_count += read
    return after


def _end(session: Session, proving: Proving) -> list[Any]:
    subject, tally = proving.proof.subject, _tally(proving, Check.ENDED)
    mailing = session.get_one(Mailing, subject.mailing_id, populate_existing=True)
    settled_at = mailing.settled_at.isoformat() if mailing.settled_at else None
    if settled_at != subject.settled_at:
        tally.forget("It went on while it was being checked: check it again.")
    elif settled_at is not None:
        proof_sums.check_ended(session, subject.mailing_id, tally)
    return []


def _tally(proving: Proving, check: Check) -> Tally:
    return next(tally for tally in proving.proof.tallies if tally.check is check)


_PARTS: Mapping[Part, Callable[[Session, Proving], list[Any]]] = {
    Part.SUMS: _sums,
    Part.ROWS: _rows,
    Part.CONTACTS: _contacts,
    Part.ADDRESSES: _addresses,
    Part.MEMBERS: _members,
    Part.END: _end,
}
_CHECKS_OF: Mapping[Part, tuple[Check, ...]] = {
    Part.SUMS: (Check.AUDIENCE, Check.COUNTERS, Check.POSITIONS),
    Part.ROWS: (Check.POSITIONS, *OF_ATTEMPTS, Check.ENDED),
    Part.CONTACTS: (Check.UNIQUE,),
    Part.ADDRESSES: (Check.UNIQUE,),
    Part.MEMBERS: (Check.MEMBERS,),
    Part.END: (Check.ENDED,),
}
_TIMEOUT = text(f"SET LOCAL statement_timeout = '{STEP_SECONDS}s'")
