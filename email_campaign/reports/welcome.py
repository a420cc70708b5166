"""The welcome mail of a list at a glance: whether it goes out, and what became of its copies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from email_campaign.audience.lists import MailingList, live_lists
from email_campaign.campaigns.mailings import Mailing, MailingEvent, MailingKind, MailingState
from email_campaign.content.templates import Template
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.reports.queries import counts_of


@dataclass(frozen=True, slots=True)
class WelcomeMail:
    """`template` is None where the list has none (any more), `why_paused` where it goes out."""

    template: Template | None
    counts: Mapping[DeliveryState, int]
    why_paused: str | None

    @property
    def sent_count(self) -> int:
        """How many were taken by the relay."""
        return self.counts[DeliveryState.ACCEPTED]

    @property
    def waiting_count(self) -> int:
        """How many are on their way, or are tried again."""
        return sum(
            self.counts[state] for state in (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.DEFERRED)
        )

    @property
    def missed_count(self) -> int:
        """How many did not get it, or perhaps did not."""
        return sum(self.counts.values()) - self.sent_count - self.waiting_count


def welcome_mail(session: Session, one: MailingList) -> WelcomeMail:
    """Summed over every mailing that the list's welcome mail had; there is a new one a month, or with new words."""
    template = session.get(Template, one.welcome_template_id) if one.welcome_template_id else None
    mailing_ids = session.scalars(
        select(Mailing.id).where(Mailing.kind == MailingKind.TRANSACTIONAL, Mailing.list_ids == [one.id])
    ).all()
    total = dict.fromkeys(DeliveryState, 0)
    for counts in counts_of(session, mailing_ids).values():
        for state, count in counts.items():
            total[state] += count
    return WelcomeMail(template, total, _why_paused(session, one.welcome_mailing_id))


def paused_welcomes(session: Session) -> Sequence[MailingList]:
    """Lists in use whose welcome mail is paused: it holds up everybody who is confirmed."""
    paused = live_lists().join(Mailing, Mailing.id == MailingList.welcome_mailing_id)
    return session.scalars(paused.where(Mailing.state == MailingState.PAUSED).order_by(MailingList.id)).all()


def _why_paused(session: Session, mailing_id: int | None) -> str | None:
    mailing = session.get(Mailing, mailing_id) if mailing_id else None
    if mailing is None or mailing.state is not MailingState.PAUSED:
        return None
    events = select(MailingEvent.detail).where(
        MailingEvent.mailing_id == mailing.id, MailingEvent.kind == MailingState.PAUSED.value
    )
    return session.scalar(events.order_by(MailingEvent.id.desc()).limit(1)) or "It was paused."
