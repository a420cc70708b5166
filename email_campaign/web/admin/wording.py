"""What the ledger's short words mean to a person: reasons, events, and how a campaign stands."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from email_campaign.campaigns.mailings import MailingEvent, MailingState
from email_campaign.delivery.deliveries import TROUBLE, DeliveryState
from email_campaign.reports.progress import Progress
from email_campaign.reports.queries import Reason
from email_campaign.web.formatting import count, number
from email_campaign.web.prose import time_words

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
    missed = (DeliveryState.REJECTED, DeliveryState.UNKNOWN, DeliveryState.SKIPPED, DeliveryState.CANCELLED)
    return sum(counts.get(state, 0) for state in missed)


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


def headline(state: MailingState, going: Progress) -> str:
    """How the campaign stands, in a sentence that is true at any time: “accepted by the relay” is all that is known."""
    accepted, audience = going.counts[DeliveryState.ACCEPTED], going.audience
    missed, shares = _missed_words(going.counts), f"{number(accepted)} of {number(audience)}"
    if state is MailingState.FINISHED:
        if not audience:
            return "Finished: nobody was in the audience."
        if accepted == audience:
            return (
                f"Finished: {'the one copy was' if audience == 1 else f'all {number(audience)} copies were'} accepted."
            )
        return f"Finished: {shares} accepted, {missed}."
    if state is MailingState.CANCELLED:
        if not going.is_enrolled:
            return f"Cancelled: {number(accepted)} accepted before; the rest is being counted."
        return f"Cancelled: {shares} accepted before{', ' + missed if missed else ''}."
    if not going.is_enrolled:
        return f"{number(accepted)} accepted; the audience is being counted, {number(audience)} so far."
    # With those in flight, so that the numbers of the sentence add up.
    waiting = sum(going.counts[one] for one in (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.DEFERRED))
    still = f", {number(waiting)} still to go" if waiting else ""
    paused = "Paused: " if state is MailingState.PAUSED else ""
    return f"{paused}{shares} accepted{still}{', ' + missed if missed else ''}."


def tell(events: Sequence[MailingEvent]) -> list[dict[str, Any]]:
    """Events of a mailing, newest first, as the timeline part shows them."""
    told = []
    for place, event in enumerate(events):
        before = next((e.kind for e in events[place + 1 :] if e.kind in _STATES), None)
        what, why, tone = _event_words(event, before)
        machine = event.actor == "system" and event.kind not in {
            "finished",
            "reopened",
            "paused",
            "put_away",
            "restored",
        }
        who = "" if event.actor in {"system", "schedule"} else event.actor
        told.append({"at": event.at, "who": who, "what": what, "why": why, "tone": tone, "machine": machine})
    return told


_STATES = frozenset(state.value for state in MailingState)


def _missed_words(counts: Mapping[DeliveryState, int]) -> str:
    unknown = counts[DeliveryState.UNKNOWN]
    certain = not_reached(counts) - unknown
    words = [f"{number(certain)} not reached"] if certain else []
    return ", ".join(words + ([f"{number(unknown)} unknown"] if unknown else []))


def _event_words(event: MailingEvent, before: str | None) -> tuple[str | Markup, str, str]:
    """What happened, why, and in which tone."""
    by_machine = event.actor in {"system", "schedule"}
    if event.kind == "sending":
        if event.detail:
            return "The campaign is open again." if by_machine else "opened it again.", event.detail, "sending"
        if before == "paused":
            return "Sending goes on." if by_machine else "resumed it.", "", "sending"
        return "Launched as scheduled." if by_machine else "launched it.", "", "sending"
    if event.kind == "scheduled":
        return Markup("scheduled it for {}.").format(time_words(datetime.fromisoformat(event.detail))), "", "sending"
    if event.kind == "enrolled":
        return f"The audience is complete: {count(int(event.detail or 0), 'copy', 'copies')}.", "", ""
    if event.kind == "test":
        link = Markup('sent <a href="/admin/deliveries/{}-1">a test</a>.').format(event.detail)
        return link, "", ""
    if event.kind in _RESOLVED:
        before_it, after_it, tone = _RESOLVED[event.kind]
        return f"{before_it} {count(int(event.detail or 0), 'unknown copy', 'unknown copies')}{after_it}.", "", tone
    if event.kind == "unknown_policy":
        chose = "to send unknown copies again, once" if event.detail == "resend" else "to hold unknown copies"
        return f"chose {chose}.", "", ""
    plain, tone = _PLAIN.get(event.kind, (f"{event.kind}.", ""))
    spoken = _BY_MACHINE.get(event.kind, plain) if by_machine else plain
    return spoken, event.detail, tone


_PLAIN = {
    "created": ("wrote it.", ""),
    "draft": ("took it back to a draft.", ""),
    "paused": ("paused it.", "deferred"),
    "finished": ("Finished: nothing is left to do.", ""),
    "cancelled": ("cancelled it.", "cancelled"),
    "failed": ("It was due and could not be launched.", "rejected"),
    "retried": ("asked for another try.", "sending"),
    "reopened": ("Open again.", "sending"),
    "restored": ("Restored from a backup.", "deferred"),
    "put_away": ("Its attempts were put away; its copies and their states stay.", ""),
}
_RESOLVED = {
    "unknown_accepted": ("marked", " as accepted", "accepted"),
    "unknown_rejected": ("marked", " as not delivered", "rejected"),
    "unknown_resend": ("sent", " again", "sending"),
}
_BY_MACHINE = {
    "draft": "Taken back to a draft.",
    "paused": "Paused by itself.",
    "cancelled": "Cancelled by itself.",
}
