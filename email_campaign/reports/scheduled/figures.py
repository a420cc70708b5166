"""What a report says, as it is frozen: numbers that add up, and the names that they had then."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from email_campaign.campaigns.mailings import MailingState
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.reports.reasons import not_reached

Counts = Mapping[DeliveryState, int]
"""The eight states; their sum is the audience."""


@dataclass(frozen=True, slots=True)
class Copies:
    """What became of an audience: audience = accepted + not reached + still open, and each is a sum of states."""

    counts: Counts

    @property
    def audience(self) -> int:
        """All copies."""
        return sum(self.counts.values())

    @property
    def accepted(self) -> int:
        """The relay took them."""
        return self.counts[DeliveryState.ACCEPTED]

    @property
    def not_reached(self) -> int:
        """Settled, and not accepted as far as anybody knows."""
        return not_reached(self.counts)

    @property
    def still_open(self) -> int:
        """Pending, in flight, or deferred."""
        return self.audience - self.accepted - self.not_reached


@dataclass(frozen=True, slots=True)
class CampaignLine:
    """A campaign as it stood when the report was made."""

    id: int
    name: str
    state: MailingState
    launched_at: datetime
    finished_at: datetime | None
    copies: Copies


@dataclass(frozen=True, slots=True)
class CampaignGroup:
    """Campaigns: the largest one by one, `others` of them in one sum; `copies` is the sum of all."""

    campaign_count: int
    lines: list[CampaignLine]
    other_count: int
    others: Copies
    copies: Copies


@dataclass(frozen=True, slots=True)
class ReasonLine:
    """So many copies did not reach anybody for this reason (None: not told apart)."""

    state: DeliveryState
    reason: str | None
    count: int


@dataclass(frozen=True, slots=True)
class DomainLine:
    """So many copies to this domain were rejected, mostly for this reason; no domain: the other ones, or the erased."""

    domain: str
    count: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Refusals:
    """Rejected copies by domain. `seen_count` of `count` were looked at; the lines add up to them."""

    count: int
    seen_count: int
    lines: list[DomainLine]


@dataclass(frozen=True, slots=True)
class Step:
    """One bar of the chart: what became of the campaigns that were launched in it."""

    label: str
    accepted: int
    not_reached: int
    still_open: int


@dataclass(frozen=True, slots=True)
class ListLine:
    """How a list grew: who asked to be on it, was confirmed, or left; and how many are confirmed now."""

    id: int | None
    name: str
    asked: int
    confirmed: int
    left: int
    members: int | None


@dataclass(frozen=True, slots=True)
class Audience:
    """People: on and off lists, and addresses that are mailed no more. `left_by` is by whose hand they left."""

    lists: list[ListLine]
    asked: int
    confirmed: int
    left: int
    left_by: Mapping[str, int]
    suppressed: int
    suppressed_for: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ImportLine:
    """An import that ended: rows = created + changed + unchanged + repeated + refused."""

    id: int
    file_name: str
    state: str
    rows: int
    created: int
    changed: int
    unchanged: int
    repeated: int
    refused: int


@dataclass(frozen=True, slots=True)
class Imports:
    """Imports: those with the most refused rows one by one, and the sums of all."""

    import_count: int
    lines: list[ImportLine]
    rows: int
    refused: int


@dataclass(frozen=True, slots=True)
class FailureLine:
    """A task that failed. `works_again`: a later one of its kind succeeded."""

    task_id: int
    title: str
    error: str
    at: datetime
    works_again: bool


@dataclass(frozen=True, slots=True)
class HaltLine:
    """A campaign that was paused by the breaker, or since it could not go on."""

    campaign_id: int
    name: str
    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Machine:
    """What went wrong: tasks, halted campaigns, relays (in sentences). `last_backup_at`: None where there is none."""

    failure_count: int
    failures: list[FailureLine]
    halts: list[HaltLine]
    relays: list[str]
    last_backup_at: datetime | None


@dataclass(frozen=True, slots=True)
class Headline:
    """The numbers that are compared with those of the period before."""

    campaigns: int
    audience: int
    accepted: int
    not_reached: int
    still_open: int
    confirmed: int
    left: int
    suppressed: int
    imported_rows: int
    refused_rows: int


@dataclass(frozen=True, slots=True)
class Figures:
    """A whole report. All of it is as it stood at `as_of`, also of the period before."""

    as_of: datetime
    now: Headline
    before: Headline
    launched: CampaignGroup
    earlier: CampaignGroup
    reasons: list[ReasonLine]
    refusals: Refusals
    steps: list[Step]
    audience: Audience
    imports: Imports
    machine: Machine

    def to_json(self) -> dict[str, Any]:
        """For the row."""
        frozen: dict[str, Any] = _SHAPE.dump_python(self, mode="json")
        return frozen

    @classmethod
    def from_json(cls, frozen: Mapping[str, Any]) -> "Figures":
        """From the row."""
        return _SHAPE.validate_python(frozen)


_SHAPE = TypeAdapter(Figures)
