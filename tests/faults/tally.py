"""What a fault test did and what it cost: the faults that it made, and the tolls that rows and wire were asked for."""

from dataclasses import dataclass

from tests.invariants import TOLLS
from tests.tools.wire_log import WireLog

PROPERTY = "tally"
"""Under this name a test's report carries the numbers to the table."""


@dataclass
class Tally:
    """One test's numbers. The test counts its kills and cuts where it makes them; nobody counts the lost by hand."""

    kills: int = 0

    def made(self, count: int = 1) -> None:
        """So many kills, cuts, stops, losses or refusals were made."""
        self.kills += count

    def numbers(self, relay: WireLog | None) -> dict[str, int]:
        """For the table. What a scripted relay refused or dropped counts as made, as its log has it."""
        refused = 0
        if relay:
            refused = sum(event.kind == "drop" or event.code >= 400 for event in relay.events())
        tolls = TOLLS.values()
        return {
            "kills": self.kills + refused,
            "recipients": sum(toll.recipients for toll in tolls),
            "lost": sum(toll.lost for toll in tolls),
            "doubled": sum(toll.doubled for toll in tolls),
            "unknown": sum(toll.unknown for toll in tolls),
        }
