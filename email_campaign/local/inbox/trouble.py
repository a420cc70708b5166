"""Trouble by recipient: rules that say whom the inbox refuses, keeps waiting, or hangs up on."""

import fnmatch
import itertools
import math
import re
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Literal, get_args

Action = Literal["421", "450", "550", "keep-and-drop", "lose-and-drop", "delay"]
ACTIONS: tuple[Action, ...] = get_args(Action)

REPLIES: dict[Action, bytes] = {
    "421": b"421 4.3.2 Service not available, closing transmission channel\r\n",
    "450": b"450 4.2.1 Mailbox unavailable, try again later\r\n",
    "550": b"550 5.1.1 No such user\r\n",
}
"""What RCPT gets. RFC 5321 3.8: after 421 the server closes."""

MAX_RULES = 100
MAX_PATTERN_CHARACTERS = 250
MAX_DELAY_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Rule:
    """What recipients that fit a pattern meet; `seconds` counts for a delay only."""

    number: int
    pattern: str
    action: Action
    seconds: float
    regex: re.Pattern[str]


class Refused(ValueError):
    """A rule cannot be made; the message says of which field, why and what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Troubles:
    """The rules in force. They act on open connections too, from the next command on. Safe to use from any thread."""

    def __init__(self) -> None:
        self.rules: tuple[Rule, ...] = ()
        """In the order in which they were made. Replaced as a whole, so that a reader needs no lock."""
        self._met: Counter[int] = Counter()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, pattern: str, action: str, seconds: str = "") -> Rule:
        """Put a rule behind the others. Raises Refused."""
        pattern = _read_pattern(pattern)
        known = next((known for known in ACTIONS if known == action), None)
        if known is None:
            raise Refused("action", "Choose what happens.")
        wait = _read_seconds(seconds) if known == "delay" else 0.0
        # Only * and ? are special: an address may hold brackets.
        regex = re.compile(fnmatch.translate(pattern.lower().replace("[", "[[]")))
        with self._lock:
            if len(self.rules) >= MAX_RULES:
                raise Refused("pattern", f"There are {MAX_RULES} rules already. Remove one first.")
            rule = Rule(next(self._numbers), pattern, known, wait, regex)
            self.rules = (*self.rules, rule)
        return rule

    def remove(self, number: int) -> None:
        """Take a rule back. Safe to repeat."""
        with self._lock:
            self.rules = tuple(rule for rule in self.rules if rule.number != number)
            del self._met[number]

    def remove_all(self) -> None:
        """Take all rules back. Safe to repeat."""
        with self._lock:
            self.rules = ()
            self._met.clear()

    def meet(self, recipient: str) -> Rule | None:
        """The first rule that fits this recipient, and count that it was met."""
        address = recipient.lower()
        for rule in self.rules:
            if rule.regex.match(address):
                self._met[rule.number] += 1
                return rule
        return None

    def times_met(self, rule: Rule) -> int:
        """How many recipients have met a rule."""
        return self._met[rule.number]


def _read_pattern(pattern: str) -> str:
    pattern = pattern.strip()
    if not pattern:
        raise Refused("pattern", "Say whom it meets, for instance *@slow.example.")
    if len(pattern) > MAX_PATTERN_CHARACTERS or not pattern.isprintable() or " " in pattern:
        raise Refused("pattern", f"A pattern has no blanks and at most {MAX_PATTERN_CHARACTERS} characters.")
    if "@" not in pattern and "*" not in pattern:
        raise Refused("pattern", f"This fits no address. For a whole domain write *@{pattern}.")
    return pattern


def _read_seconds(text: str) -> float:
    try:
        seconds = float(text.strip().replace(",", "."))
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_DELAY_SECONDS:
        raise Refused("seconds", f"Give the seconds as a number above 0, at most {MAX_DELAY_SECONDS}.")
    return seconds
