"""What the ledger's short words mean to a person: events, and how a campaign stands."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from email_campaign.campaigns.mailings import MailingEvent, MailingState
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.reports.progress import Progress
from email_campaign.reports.reasons import not_reached
from email_campaign.web.formatting import count, number
from email_campaign.web.prose import time_words


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
