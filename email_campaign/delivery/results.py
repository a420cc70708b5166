"""What goes from the loop to the recorder: a claim on a row, and the result of an attempt."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from email_campaign.delivery.deliveries import DeliveryState


class Claim(NamedTuple):
    """A row and the fence under which it may be written: the token that must stand in its slice."""

    mailing_id: int
    position: int
    slice_id: int
    token: int

    @property
    def key(self) -> tuple[int, int]:
        """The row's primary key."""
        return self.mailing_id, self.position


@dataclass(slots=True)  # not frozen: that costs four microseconds a mail
class Result:
    """What came of one attempt: the row's move from `was` to `state`, and the attempt as it will be logged.

    `logged` is False for a move that is no attempt (sending → pending, when no byte of the body went out); with a phase
    it is logged nevertheless when it comes late, since it tells what became of an unknown copy.
    """

    claim: Claim
    was: DeliveryState
    state: DeliveryState
    started_at: datetime
    finished_at: datetime
    reason: str | None = None
    next_attempt_at: datetime | None = None
    spared: bool = False
    logged: bool = True
    relay_id: int = 0
    phase: str = ""
    code: int | None = None
    enhanced_code: str | None = None
    reply: str = ""
    message_sha256: bytes | None = None
    variables: dict[str, Any] | None = None
    suppress_address: str | None = None
