"""Unknown copies: how many there are, and for each of them what somebody needs who wants to find out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.orm import Session

from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import Mailing, MailingKind
from email_campaign.delivery.attempts import Attempt
from email_campaign.delivery.deliveries import Counter, Delivery, DeliveryState
from email_campaign.reports.queries import Copy, read_copies


@dataclass(frozen=True, slots=True)
class UnknownCopy:
    """A copy with its last attempt. `campaign` is None for a mail that belongs to none."""

    copy: Copy
    mailing: Mailing
    campaign: Campaign | None
    attempt: Attempt | None

    @property
    def is_test(self) -> bool:
        """Whether it is a test of the campaign and not a copy for its audience."""
        return self.mailing.kind is MailingKind.TEST


def unknown_counts(session: Session) -> dict[int, int]:
    """How many copies are unknown, by mailing, from the counters; only mailings that have any."""
    total = func.sum(Counter.count)
    rows = session.execute(
        select(Counter.mailing_id, total)
        .where(Counter.state == DeliveryState.UNKNOWN.value)
        .group_by(Counter.mailing_id)
        .having(total > 0)
    )
    return {mailing_id: int(count) for mailing_id, count in rows}


def unknown_of(mailing_ids: Collection[int]) -> Select[Delivery]:
    """The unknown copies of these mailings, unordered; keyset pages go by mailing and position."""
    unknown = Delivery.trouble == DeliveryState.UNKNOWN.value
    return select(Delivery).where(Delivery.mailing_id.in_(mailing_ids), unknown)


def read_unknown(session: Session, deliveries: Sequence[Delivery]) -> list[UnknownCopy]:
    """The lines of a page of deliveries in their order, which keeps those of a mailing together."""
    keys = [(one.mailing_id, one.position, one.attempt_count) for one in deliveries]
    last = select(Attempt).where(tuple_(Attempt.mailing_id, Attempt.position, Attempt.number).in_(keys))
    attempts = {(one.mailing_id, one.position): one for one in session.scalars(last)}
    lines = []
    for mailing_id, of_mailing in groupby(deliveries, key=lambda one: one.mailing_id):
        mailing = session.get_one(Mailing, mailing_id)
        campaign = session.get(Campaign, mailing.campaign_id or mailing.id)
        for copy in read_copies(session, list(of_mailing)):
            attempt = attempts.get((mailing_id, copy.delivery.position))
            lines.append(UnknownCopy(copy, mailing, campaign, attempt))
    return lines
