"""Why people were not reached: the ledger's short words as people read them, and sums that add up."""

from collections.abc import Mapping, Sequence

from email_campaign.delivery.deliveries import TROUBLE, DeliveryState
from email_campaign.reports.queries import Reason

NOT_REACHED = (DeliveryState.REJECTED, DeliveryState.UNKNOWN, DeliveryState.SKIPPED, DeliveryState.CANCELLED)
"""Settled, and without their copy as far as anybody knows."""

REASONS: Mapping[str, str] = {
    "auth": "the relay refuses our credentials",
    "bad_address": "the address is not valid for its domain",
    "campaign_cancelled": "the campaign was cancelled",
    "closed": "the connection was cut",
    "content": "the content was refused",
    "erased": "the contact was erased",
    "expired": "given up: every try was put off until time ran out",
    "greylisted": "greylisted: to be tried again later",
    "hard_bounce": "no such address",
    "mailbox_full": "the mailbox is full",
    "mailbox_unavailable": "the mailbox is not available",
    "no_such_mailbox": "no such mailbox",
    "not_delivered": "not delivered, as somebody found out",
    "policy": "refused by the receiver's policy",
    "protocol": "the relay answered out of turn",
    "refused": "refused without a reason that we know",
    "relay_busy": "the relay is busy",
    "relay_fault": "a fault of the relay",
    "render_error": "the template does not fit this contact",
    "sender_address": "the sender's address was refused",
    "suppressed": "the address is suppressed",
    "throttled": "slowed down by the receiver",
    "timeout": "no answer in time",
    "too_large": "the mail is too large",
    "try_later": "to be tried again later",
    "unavailable": "the relay is not available",
    "unreachable": "the receiver's server cannot be reached",
    "unsubscribed": "unsubscribed before their copy went out",
    "worker_gone": "the send process was lost while it sent",
}

UNTOLD = "without a reason"


def reason_words(reason: str | None) -> str:
    """A reason in words; one that is not known here reads as it is stored."""
    return REASONS.get(reason, reason.replace("_", " ")) if reason else UNTOLD


def not_reached(counts: Mapping[DeliveryState, int]) -> int:
    """How many of the audience are settled and do not have their copy, as far as anybody knows."""
    return sum(counts.get(state, 0) for state in NOT_REACHED)


def missed_by_reason(counts: Mapping[DeliveryState, int], reasons: Sequence[Reason]) -> list[Reason]:
    """The reasons with what the counters know beyond them, so that they add up to the bar above them."""
    rows = list(reasons)
    for state in TROUBLE:
        rest = counts[state] - sum(one.count for one in reasons if one.state is state)
        if rest > 0:
            rows.append(Reason(state, None, rest))
    return rows


def missed_words(one: Reason) -> str:
    """Why these copies were not accepted, as a sentence begins."""
    words = reason_words("campaign_cancelled" if one.state is DeliveryState.CANCELLED else one.reason)
    return words[0].upper() + words[1:]
