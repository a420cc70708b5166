"""What a report says in words: the same sentences on its page, in the PDF and in the mail. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from email_campaign.audience.subscriptions import Source
from email_campaign.audience.suppressions import SuppressionReason
from email_campaign.campaigns.mailings import MailingState
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.reports.reasons import reason_words
from email_campaign.reports.scheduled.figures import (
    Copies,
    DomainLine,
    Figures,
    Headline,
    Imports,
    Machine,
    ReasonLine,
    Refusals,
)

STATES: Mapping[DeliveryState, str] = {
    DeliveryState.ACCEPTED: "accepted",
    DeliveryState.REJECTED: "rejected",
    DeliveryState.DEFERRED: "deferred",
    DeliveryState.PENDING: "pending",
    DeliveryState.SENDING: "in flight",
    DeliveryState.UNKNOWN: "unknown",
    DeliveryState.SKIPPED: "skipped",
    DeliveryState.CANCELLED: "cancelled",
}
"""In the order in which they are added up."""

LEFT_BY: Mapping[str, str] = {
    Source.LINK: "by the link in a mail",
    Source.FORM: "by a form",
    Source.HAND: "by hand",
    Source.API: "by API",
    Source.IMPORT: "by an import",
}
SUPPRESSED_FOR: Mapping[str, str] = {
    SuppressionReason.HARD_BOUNCE: "hard bounces",
    SuppressionReason.COMPLAINT: "complaints",
    SuppressionReason.UNSUBSCRIBED: "unsubscribed from everything",
    SuppressionReason.BY_HAND: "by hand",
}


@dataclass(frozen=True, slots=True)
class Compared:
    """A number beside that of the period before, and `+12%`, `−3`, `×20` or `new`; empty where nothing changed."""

    label: str
    now: str
    before: str
    change: str


def compared(figures: Figures) -> list[Compared]:
    """The headline numbers, one a line."""
    labels: Mapping[str, str] = {
        "campaigns": "Campaigns launched",
        "audience": "Their audience",
        "accepted": "Accepted",
        "not_reached": "Not reached",
        "still_open": "Still open",
        "confirmed": "Confirmed on lists",
        "left": "Left lists",
        "suppressed": "Addresses suppressed",
        "imported_rows": "Rows imported",
        "refused_rows": "Rows refused",
    }
    return [_compared(label, figures.now, figures.before, name) for name, label in labels.items()]


def headline(now: Headline) -> str:
    """What became of the period's campaigns, in a sentence; the numbers add up."""
    if not now.campaigns:
        return "No campaign was launched."
    launched = f"{counted(now.campaigns, 'campaign')} launched"
    if not now.audience:
        return f"{launched}; nobody was in the audience."
    parts = [f"{now.accepted:,} accepted"]
    if now.not_reached:
        parts.append(f"{now.not_reached:,} not reached")
    if now.still_open:
        parts.append(f"{now.still_open:,} still open")
    return f"{launched}, {counted(now.audience, 'copy', 'copies')}: {', '.join(parts)}."


def trouble(figures: Figures) -> str:
    """What went wrong in the period, in a sentence; empty where nothing did."""
    machine, failed = figures.machine, []
    if machine.failure_count:
        failed.append(f"{counted(machine.failure_count, 'task')} failed")
    if machine.halts:
        failed.append(f"{counted(len(machine.halts), 'campaign')} paused by the service")
    if figures.imports.refused:
        failed.append(f"{counted(figures.imports.refused, 'row')} of imports refused")
    return f"{', '.join(failed)}." if failed else ""


def sum_words(copies: Copies) -> str:
    """How an audience adds up, without what is zero: `= 990 accepted + 10 rejected`."""
    parts = [f"{copies.counts[state]:,} {word}" for state, word in STATES.items() if copies.counts[state]]
    return f"= {' + '.join(parts)}" if parts else ""


def state_words(state: MailingState) -> str:
    """How a campaign stood: `finished`, `running`, `paused`, `cancelled`."""
    return "running" if state is MailingState.SENDING else state.value


def missed_words(line: ReasonLine) -> str:
    """Why these copies reached nobody, as a sentence begins."""
    words = reason_words("campaign_cancelled" if line.state is DeliveryState.CANCELLED else line.reason)
    return f"{words[0].upper()}{words[1:]}"


def domain_words(line: DomainLine) -> str:
    """The domain, or what stands for the rest."""
    return line.domain or "all other domains"


def domain_note(line: DomainLine) -> str:
    """Why its copies were rejected, mostly; empty where nothing is known, or too much."""
    return reason_words(line.reason) if line.reason else ""


def refusals_note(refusals: Refusals) -> str:
    """What the table does not have; empty where it has all."""
    if refusals.seen_count >= refusals.count:
        return ""
    return f"Of {refusals.count:,} rejected copies {refusals.seen_count:,} were looked at."


def imports_note(files: Imports) -> str:
    """How many imports there were, and what they brought in all."""
    if not files.import_count:
        return "No import ended in this period."
    return f"{counted(files.import_count, 'import')}, {counted(files.rows, 'row')}, {files.refused:,} of them refused."


def failures_note(machine: Machine) -> str:
    """How many tasks failed, where not all of them are listed, or none did."""
    if not machine.failure_count:
        return "No task failed."
    more = machine.failure_count - len(machine.failures)
    return f"{counted(more, 'earlier failure')} not listed." if more else ""


def shares(parts: Mapping[str, int], words: Mapping[str, str]) -> str:
    """`12 by the link in a mail, 3 by hand`."""
    return ", ".join(f"{count:,} {words.get(name, name.replace('_', ' '))}" for name, count in parts.items())


def local_time(at: datetime | None, zone: str) -> str:
    """`16 Nov 2026, 07:00` in this zone; `never` for None."""
    if at is None:
        return "never"
    at = at.astimezone(ZoneInfo(zone))
    return f"{at.day} {at:%b %Y, %H:%M}"


def counted(count: int, singular: str, plural: str = "") -> str:
    """`1 campaign`, `2 campaigns`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def _compared(label: str, now: Headline, before: Headline, name: str) -> Compared:
    new, old = getattr(now, name), getattr(before, name)
    return Compared(label, f"{new:,}", f"{old:,}", _change(new, old))


def _change(new: int, old: int) -> str:
    if new == old:
        return ""
    if not old:
        return "new"
    if new >= 10 * old:
        return f"×{new / old:,.0f}"
    share = 100 * (new - old) / old
    return (f"{share:+,.0f}%" if abs(share) >= 1 else f"{new - old:+,}").replace("-", "−")
