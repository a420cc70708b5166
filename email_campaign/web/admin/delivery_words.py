"""What happened to one copy, in a sentence, and what was said about it, line by line."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from markupsafe import Markup

from email_campaign.delivery.attempts import Attempt
from email_campaign.delivery.deliveries import Delivery, DeliveryState
from email_campaign.delivery.replies import Phase
from email_campaign.reports.queries import Copy
from email_campaign.reports.reasons import reason_words
from email_campaign.web.formatting import count, duration
from email_campaign.web.prose import time_words

Attempts = Sequence[tuple[Attempt, str]]

_ASKED = {
    Phase.MAIL: "MAIL FROM:<{sender}>",
    Phase.RCPT: "RCPT TO:<{recipient}>",
    Phase.DATA: "DATA",
    Phase.BODY: "(the mail, and a dot)",
}
"""What we said at the step that brought the verdict."""


def sentence(copy: Copy, attempts: Attempts) -> Markup | str:
    """What became of it. "Accepted" is all that a 250 says; nobody knows about a mailbox."""
    row = copy.delivery
    match DeliveryState(row.state):
        case DeliveryState.PENDING:
            return (
                "Waiting for its turn."
                if not row.attempt_count
                else "Waiting to be tried again, which is its turn now."
            )
        case DeliveryState.SENDING:
            return "On its way at this moment: the mail is being handed over, and its receipt is not here yet."
        case DeliveryState.ACCEPTED | DeliveryState.REJECTED if (hand := _by_hand(row, attempts)) is not None:
            words = Markup("{} at {}. {}")
            marked = "Marked as accepted" if hand.verdict == DeliveryState.ACCEPTED else "Marked as not delivered"
            return words.format(marked, time_words(hand.finished_at, seconds=True), hand.reply)
        case DeliveryState.ACCEPTED:
            words = Markup("Accepted by {}{} on {} try.")
            return words.format(_relay(attempts), _when(attempts), _ordinal(row))
        case DeliveryState.DEFERRED:
            words = Markup("Not taken yet after {}: {}.{}")
            return words.format(count(row.attempt_count, "try", "tries"), reason_words(row.reason), _again(row))
        case DeliveryState.REJECTED if row.reason == "expired":
            return (
                f"Given up after {count(row.attempt_count, 'try', 'tries')}{_span(attempts)}: it was put off each time."
            )
        case DeliveryState.REJECTED:
            words = Markup("Rejected{}{}: {}.")
            return words.format(_by(attempts), _when(attempts), reason_words(row.reason))
        case DeliveryState.UNKNOWN:
            words = Markup("Nobody can say whether it arrived: the mail went out and no receipt came back ({}).{}")
            return words.format(reason_words(row.reason), _again(row) or " It is not sent again unless you ask for it.")
        case DeliveryState.SKIPPED:
            return f"Not sent: {reason_words(row.reason)}."
        case DeliveryState.CANCELLED:
            return "Not sent: the campaign was cancelled before it went out."


def conversation(copy: Copy, sender: str, attempts: Attempts) -> list[dict[str, Any]]:
    """The step of each attempt that brought its verdict: what we said and what the relay said."""
    lines: list[dict[str, Any]] = []
    for attempt, relay in attempts:
        took = (attempt.finished_at - attempt.started_at) / timedelta(seconds=1)
        if attempt.phase == Phase.HAND:
            lines.append({"at": attempt.started_at, "who": "note", "text": f"By hand. {attempt.reply}"})
            continue
        note = f"Try {attempt.number}{': ' + relay if relay else ''}, {took:.3f} s"
        note += ", not counted against the recipient" if attempt.spared else ""
        note += ", known only later" if attempt.late else ""
        lines.append({"at": attempt.started_at, "who": "note", "text": note})
        if (asked := _ASKED.get(Phase(attempt.phase))) is not None:
            text = asked.format(sender=sender, recipient=copy.address or "(erased)")
            lines.append({"at": attempt.started_at, "who": "we", "text": text})
        answered = attempt.code is not None
        tone = {"deferred": "deferred", "rejected": "rejected", "unknown": "rejected"}.get(attempt.verdict)
        text = reply(attempt) if answered else f"{reply(attempt)} – {attempt.verdict}"
        lines.append({"at": attempt.finished_at, "who": "relay" if answered else "note", "text": text, "tone": tone})
    return lines


def reply(attempt: Attempt) -> str:
    """What the relay said, as it said it: `550 5.1.1 no such user`."""
    codes = (str(attempt.code) if attempt.code else "", attempt.enhanced_code or "", attempt.reply)
    return " ".join(filter(None, codes)) or "no answer"


def _by_hand(row: Delivery, attempts: Attempts) -> Attempt | None:
    """What somebody said that brought the copy into its state; a late attempt after it changed nothing."""
    said = [attempt for attempt, _ in attempts if attempt.verdict == row.state and not attempt.late]
    return said[-1] if said and said[-1].phase == Phase.HAND else None


def _relay(attempts: Attempts) -> str:
    """The relay's name; the only one there is from the start on is called just that."""
    name = attempts[-1][1] if attempts else ""
    return name if name not in {"", "relay"} else "the relay"


def _by(attempts: Attempts) -> str:
    """Nobody but we refuses what cannot be composed."""
    return f" by {_relay(attempts)}" if attempts and attempts[-1][0].phase != Phase.RENDER else ""


def _when(attempts: Attempts) -> Markup:
    return Markup(" at {}").format(time_words(attempts[-1][0].finished_at, seconds=True)) if attempts else Markup()


def _again(row: Delivery) -> Markup:
    if row.next_attempt_at is None:
        return Markup()
    return Markup(" It is tried again at {}.").format(time_words(row.next_attempt_at, seconds=True))


def _ordinal(row: Delivery) -> str:
    n = max(1, row.attempt_count)
    if n == 1:
        return "the first"
    suffix = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"the {n}{suffix}"


def _span(attempts: Attempts) -> str:
    if len(attempts) < 2:
        return ""
    seconds = (attempts[-1][0].finished_at - attempts[0][0].started_at).total_seconds()
    return f" in {duration(seconds)}"
