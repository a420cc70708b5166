"""What a proof checks, and how the result of each check is kept while the proof goes on."""

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

FOUND_KEPT = 20
"""So many findings of a check are named; the rest is counted."""


class Check(enum.StrEnum):
    """One statement each, in the order in which they are told."""

    AUDIENCE = "audience"
    COUNTERS = "counters"
    MEMBERS = "members"
    UNIQUE = "unique"
    POSITIONS = "positions"
    ACCEPTED = "accepted"
    ATTEMPTS = "attempts"
    STATES = "states"
    ONCE = "once"
    ENDED = "ended"

    @property
    def statement(self) -> str:
        """What is claimed, in a sentence."""
        return _STATEMENTS[self]


_STATEMENTS = {
    Check.AUDIENCE: "The eight states add up to the audience.",
    Check.COUNTERS: "The counters say what the rows say.",
    Check.MEMBERS: "Everybody who was confirmed at the launch has a copy.",
    Check.UNIQUE: "No contact and no address has two copies.",
    Check.POSITIONS: "Every copy has its place in the enrolment.",
    Check.ACCEPTED: "Every accepted copy has the attempt that was accepted.",
    Check.ATTEMPTS: "Every attempt that was counted is in the log, and no other.",
    Check.STATES: "Every state is what the attempts say.",
    Check.ONCE: "No copy was accepted twice.",
    Check.ENDED: "Nothing is left to do.",
}

_NOTED = {
    Check.ACCEPTED: "Of these by somebody's decision",
    Check.ONCE: "Unknown copies that were sent again, and of which the relay took both mails",
}

OF_ATTEMPTS = (Check.ACCEPTED, Check.ATTEMPTS, Check.STATES, Check.ONCE)
"""These need the attempts, and say nothing of copies whose attempts were put away."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold. `delivery` is the public id of the copy, where it is about one."""

    delivery: str | None
    words: str


@dataclass(slots=True)
class Tally:
    """What came of a check: how many were looked at, how many are wrong, and the first of these by delivery.

    `remark` and `noted_count` are worth saying and not wrong. `failed` says why it could not be checked at all.
    """

    check: Check
    checked_count: int = 0
    wrong_count: int = 0
    noted_count: int = 0
    found: list[Finding] = field(default_factory=list)
    remark: str = ""
    failed: str = ""

    @property
    def note(self) -> str:
        """All that is worth saying beside the numbers; empty where there is nothing."""
        noted = f"{_NOTED[self.check]}: {self.noted_count:,}." if self.noted_count else ""
        return " ".join(filter(None, (self.failed, self.remark, noted)))

    def add_wrong(self, words: str, delivery: str | None = None) -> None:
        """Count something that does not hold, and keep it if it is among the first."""
        self.wrong_count += 1
        if len(self.found) < FOUND_KEPT:
            self.found.append(Finding(delivery, words))

    def forget(self, remark: str) -> None:
        """What was looked at so far says nothing any more."""
        self.checked_count, self.wrong_count, self.found, self.remark = 0, 0, [], remark

    def to_json(self) -> dict[str, Any]:
        """As it is kept in a task and stands in an export."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        found = [Finding(**one) for one in kept["found"]]
        return cls(**{**kept, "check": Check(kept["check"]), "found": found})
