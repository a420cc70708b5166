"""The reckoning of the crash demo: what the ledger says of every copy, held against what the inbox has of it."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

SETTLED = ("accepted", "rejected", "unknown", "skipped", "cancelled")
MAY_BE_THERE = ("accepted", "unknown")


@dataclass(frozen=True, slots=True)
class Copy:
    """A row of the ledger. `address` is empty once the person was erased."""

    address: str | None
    state: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail in the inbox."""

    recipient: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who was lost, mailed twice or is unknown, each with the reason to say so; and copies by state in both places."""

    lost: Mapping[str, str]
    doubled: Mapping[str, str]
    unknown: Mapping[str, bool]
    """Whether the inbox has the mail."""
    in_ledger: Mapping[str, int]
    in_inbox: Mapping[str, int]

    @property
    def holds(self) -> bool:
        """Whether the promise was kept: nobody lost, nobody mailed twice."""
        return not self.lost and not self.doubled


def judge(audience: Collection[str], ledger: Sequence[Copy], inbox: Sequence[Mail]) -> Verdict:
    """Hold the list, the ledger and the inbox against each other: by address, and by Message-ID."""
    found = Counter(mail.message_id for mail in inbox)
    rows = {copy.message_id: copy for copy in ledger}
    names = {copy.address for copy in ledger}
    lost = {address: "is on the list and has no row" for address in audience if address not in names}
    doubled: dict[str, str] = {}
    for copy in ledger:
        who = copy.address or copy.message_id
        if copy.state not in SETTLED:
            lost[who] = f"is still {copy.state}"
        if copy.state == "accepted" and not found[copy.message_id]:
            lost[who] = "is accepted, and the inbox does not have it"
        if found[copy.message_id] > 1:
            doubled[who] = f"is in the inbox {found[copy.message_id]} times"
        elif found[copy.message_id] and copy.state not in MAY_BE_THERE:
            doubled[who] = f"is {copy.state}, and the inbox has a mail"
    for mail in inbox:
        expected = rows.get(mail.message_id)
        if expected is None or expected.address != mail.recipient:
            doubled[mail.recipient] = f"got {mail.message_id}, which is no mail of theirs"
    return Verdict(
        lost,
        doubled,
        {copy.address or copy.message_id: found[copy.message_id] > 0 for copy in ledger if copy.state == "unknown"},
        Counter(copy.state for copy in ledger),
        _by_state(rows[mail.message_id].state for mail in inbox if mail.message_id in rows),
    )


def _by_state(states: Iterable[str]) -> Mapping[str, int]:
    return Counter(states)
