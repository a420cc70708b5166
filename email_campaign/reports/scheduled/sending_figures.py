"""What became of the copies of a period: campaigns, why people were not reached, who refused, and the chart.

A campaign is of the period in which it was launched, with the counts that it has now. Read are campaigns and counters;
of deliveries only those in trouble, by their index and up to a bound. So a report costs the same at ten million copies.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, select, text
from sqlalchemy.orm import Session

from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import Mailing
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.reports.queries import Reason, counts_of
from email_campaign.reports.reasons import missed_by_reason
from email_campaign.reports.scheduled.figures import (
    CampaignGroup,
    CampaignLine,
    Copies,
    DomainLine,
    ReasonLine,
    Refusals,
    Step,
)
from email_campaign.reports.scheduled.periods import Period

CAMPAIGNS_NAMED = 20
DOMAINS_NAMED = 10
REASONS_READ = 1_000_000
"""Rows in trouble that are read for their reason, by an index that holds it; the rest is not told apart."""
REFUSALS_READ = 20_000
"""Rejected copies whose domain is looked up, each in its row and in its contact's."""
OTHERS = ""
ERASED = "(erased)"


def launched_in(session: Session, period: Period) -> list[CampaignLine]:
    """The campaigns that were launched in the period, the largest first."""
    return _lines(session, (Mailing.launched_at >= period.begins_at) & (Mailing.launched_at < period.ends_at))


def still_on_in(session: Session, period: Period) -> list[CampaignLine]:
    """Campaigns that were launched before the period, and of which something was left to do in it."""
    open_in_it = Mailing.settled_at.is_(None) | (Mailing.settled_at >= period.begins_at)
    return _lines(session, (Mailing.launched_at < period.begins_at) & open_in_it)


def group(lines: Sequence[CampaignLine]) -> CampaignGroup:
    """The largest by name, and sums that are those of all."""
    others = lines[CAMPAIGNS_NAMED:]
    return CampaignGroup(len(lines), list(lines[:CAMPAIGNS_NAMED]), len(others), _sum(others), _sum(lines))


def steps(lines: Iterable[CampaignLine], period: Period) -> list[Step]:
    """The bars of the chart; they add up to the group's copies."""
    begins = period.steps()
    of_step: dict[int, list[CampaignLine]] = defaultdict(list)
    for line in lines:
        of_step[bisect_right(begins, line.launched_at, key=lambda begin: begin[0]) - 1].append(line)
    bars = []
    for number, (_, label) in enumerate(begins):
        copies = _sum(of_step[number])
        bars.append(Step(label, copies.accepted, copies.not_reached, copies.still_open))
    return bars


def reasons(session: Session, lines: Sequence[CampaignLine]) -> list[ReasonLine]:
    """Why copies of these campaigns reached nobody, the most frequent first; they add up to `not_reached`."""
    copies = _sum(lines)
    troubled = [line.id for line in lines if line.copies.not_reached]
    rows = session.execute(_REASONS, {"mailings": troubled, "states": _APART, "most": REASONS_READ})
    known = [Reason(DeliveryState(state), reason, count) for state, reason, count in rows]
    # What is deferred may still be taken.
    missed = missed_by_reason({**copies.counts, DeliveryState.DEFERRED: 0}, _within(known, copies))
    missed.sort(key=lambda one: (-one.count, one.state, one.reason or ""))
    return [ReasonLine(one.state, one.reason, one.count) for one in missed]


def refusals(session: Session, lines: Sequence[CampaignLine]) -> Refusals:
    """Rejected copies by the domain that they were for, the one with the most first."""
    count = _sum(lines).counts[DeliveryState.REJECTED]
    refused = [line.id for line in lines if line.copies.counts[DeliveryState.REJECTED]]
    rows = session.execute(_REFUSALS, {"mailings": refused, "most": REFUSALS_READ}).all()
    of_domain: dict[str, Counter[str | None]] = defaultdict(Counter)
    for domain, reason, seen in rows:
        of_domain[domain or ERASED][reason] += seen
    ranked = sorted(of_domain.items(), key=lambda item: (-item[1].total(), item[0]))
    named, others = ranked[:DOMAINS_NAMED], ranked[DOMAINS_NAMED:]
    told = [DomainLine(domain, why.total(), why.most_common(1)[0][0]) for domain, why in named]
    if others:
        told.append(DomainLine(OTHERS, sum(why.total() for _, why in others), None))
    return Refusals(count, sum(why.total() for why in of_domain.values()), told)


def _lines(session: Session, condition: ColumnElement[bool]) -> list[CampaignLine]:
    found = session.execute(
        select(Campaign.id, Campaign.name, Mailing.state, Mailing.launched_at, Mailing.finished_at)
        .join(Mailing, Mailing.id == Campaign.id)
        .where(condition)
    ).all()
    counts = counts_of(session, [row.id for row in found])
    lines = [
        CampaignLine(row.id, row.name, row.state, row.launched_at, row.finished_at, Copies(counts[row.id]))
        for row in found
        if row.launched_at is not None
    ]
    return sorted(lines, key=lambda line: (-line.copies.audience, -line.id))


def _sum(lines: Iterable[CampaignLine]) -> Copies:
    counts = dict.fromkeys(DeliveryState, 0)
    for line in lines:
        for state, count in line.copies.counts.items():
            counts[state] += count
    return Copies(counts)


def _within(known: Iterable[Reason], copies: Copies) -> list[Reason]:
    """Of each state no more than its counter says, which was read a moment before: copies move on meanwhile."""
    left = dict(copies.counts)
    kept = []
    for one in known:
        count = min(one.count, left[one.state])
        left[one.state] -= count
        if count:
            kept.append(Reason(one.state, one.reason, count))
    return kept


_APART = [state.value for state in (DeliveryState.REJECTED, DeliveryState.UNKNOWN, DeliveryState.SKIPPED)]
"""Told apart by reason; the cancelled have one."""

# Mailing by mailing, so that each is a walk along its own piece of the index on `trouble`.
_REASONS = text("""
SELECT trouble, reason, count(*) AS count FROM (
    SELECT d.trouble, d.reason FROM unnest(CAST(:mailings AS bigint[])) AS m(id) CROSS JOIN LATERAL (
        SELECT trouble, reason FROM deliveries
        WHERE mailing_id = m.id AND trouble = ANY (CAST(:states AS text[])) LIMIT :most
    ) d LIMIT :most
) told GROUP BY trouble, reason ORDER BY count(*) DESC
""")

_REFUSALS = text("""
SELECT split_part(c.address, '@', 2) AS domain, told.reason, count(*) AS count FROM (
    SELECT d.contact_id, d.reason FROM unnest(CAST(:mailings AS bigint[])) AS m(id) CROSS JOIN LATERAL (
        SELECT contact_id, reason FROM deliveries WHERE mailing_id = m.id AND trouble = 'rejected' LIMIT :most
    ) d LIMIT :most
) told LEFT JOIN contacts c ON c.id = told.contact_id
GROUP BY 1, 2 ORDER BY count(*) DESC
""")
