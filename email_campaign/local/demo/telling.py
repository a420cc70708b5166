"""How the demo looks on the terminal: facts line by line, a bar that follows, a table at the end."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from email_campaign.local.terminal import Terminal

LABEL = 12
"""Characters of the first column."""
BAR_CHARACTERS = 32
PLAIN_STEPS = 4
"""So many lines stand for the bar where nothing can be drawn in place."""

STATES = ("accepted", "deferred", "rejected", "unknown", "skipped", "cancelled", "pending", "sending")


class Teller:
    """Tells the demo to a terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._steps_told = 0

    def say(self, line: str = "") -> None:
        """A line as it is."""
        self._terminal.say(line)

    def fact(self, what: str, words: str) -> None:
        """What was done, and what came of it."""
        self.say(f"  {what:<{LABEL}}{words}")

    def detail(self, words: str) -> None:
        """A line below a fact."""
        self.say(f"  {'':<{LABEL}}  {words}")

    def row(self, what: str, *values: int | str) -> None:
        """A row of a table: a word, and numbers or other words to the right."""
        cells = "".join(f"{value:>9,}" if isinstance(value, int) else f"{value:>9}" for value in values)
        self.say(f"  {'':<{LABEL}}{what:<10}{cells}")

    def follow(self, campaign: Mapping[str, Any], audience: int) -> None:
        """How far the campaign is."""
        counts = campaign["counts"]
        done = sum(counts.values()) - counts["pending"] - counts["sending"]
        share = done / audience if audience else 1.0
        rate = campaign["rate_per_second"]
        words = f"{done:,} of {audience:,}" + (f", {rate:,.0f} a second" if rate else "")
        self._terminal.draw(f"  {'Sending':<{LABEL}}{bar(share)}  {words}")
        if not self._terminal.is_live and int(share * PLAIN_STEPS) > self._steps_told:
            self._steps_told = int(share * PLAIN_STEPS)
            self.fact("Sending", f"{share:.0%}: {words}")

    def followed(self) -> None:
        """The bar goes; what came of it is said by others."""
        self._terminal.draw("")

    def table(self, counts: Mapping[str, int], reasons: Sequence[Mapping[str, Any]]) -> None:
        """Every state with its count, and why it is not zero."""
        for state in STATES:
            why = [
                f"{one['count']:,} {(one['reason'] or 'without a reason').replace('_', ' ')}"
                for one in reasons
                if one["state"] == state
            ]
            self.say(f"  {'':<{LABEL}}{state:<10}{counts[state]:>7,}   {', '.join(why)}".rstrip())
        self.say(f"  {'':<{LABEL}}{'audience':<10}{sum(counts.values()):>7,}")


def bar(share: float) -> str:
    """A bar that is filled to this share, from 0 to 1."""
    halves = round(min(max(share, 0.0), 1.0) * BAR_CHARACTERS * 2)
    full = "━" * (halves // 2) + "╸" * (halves % 2)
    return full + "─" * (BAR_CHARACTERS - len(full))


def number_of(name: str, prefix: str) -> int:
    """7 of `Demo 7`; 0 for any other name."""
    found = re.fullmatch(rf"{re.escape(prefix)} ([0-9]{{1,9}})", name)
    return int(found[1]) if found else 0
