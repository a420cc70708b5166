"""Collects what a report says of its period, and of the one before it for comparison. Reads only."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from email_campaign.reports.scheduled import sending_figures as sending
from email_campaign.reports.scheduled.audience_figures import audience, imports
from email_campaign.reports.scheduled.figures import Audience, CampaignLine, Figures, Headline, Imports
from email_campaign.reports.scheduled.machine_figures import machine
from email_campaign.reports.scheduled.periods import Period


def collect(session: Session, period: Period, now: datetime) -> Figures:
    """Everything as it stands now."""
    launched = sending.launched_in(session, period)
    people, files = audience(session, period), imports(session, period)
    before = period.before
    return Figures(
        as_of=now,
        now=_headline(launched, people, files),
        before=_headline(
            sending.launched_in(session, before), audience(session, before, sums_alone=True), imports(session, before)
        ),
        launched=sending.group(launched),
        earlier=sending.group(sending.still_on_in(session, period)),
        reasons=sending.reasons(session, launched),
        refusals=sending.refusals(session, launched),
        steps=sending.steps(launched, period),
        audience=people,
        imports=files,
        machine=machine(session, period, now),
    )


def _headline(launched: Sequence[CampaignLine], people: Audience, files: Imports) -> Headline:
    copies = sending.group(launched).copies
    return Headline(
        campaigns=len(launched),
        audience=copies.audience,
        accepted=copies.accepted,
        not_reached=copies.not_reached,
        still_open=copies.still_open,
        confirmed=people.confirmed,
        left=people.left,
        suppressed=people.suppressed,
        imported_rows=files.rows,
        refused_rows=files.refused,
    )
