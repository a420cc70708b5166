"""Enrolment beside the fastest that Postgres can do: the very same rows, by one bare INSERT … SELECT."""

import time

from sqlalchemy import func, select, text

from bench.options import Options
from bench.report import Report
from bench.scale_tables import add_mailing, fill_contacts, fill_list
from bench.stand import Stand, running_stand
from email_campaign.campaigns.mailings import Mailing, MailingState
from email_campaign.clock import utc_now
from email_campaign.delivery import enrol

AUDIENCE = 1_000_000
FLOOR = 0.7


def run(options: Options, report: Report) -> None:
    """Both in turn, some times; each audience is enrolled into a mailing of its own."""
    size = options.counted(AUDIENCE)
    enrolled, bare, longest = [], [], 0.0
    with running_stand() as stand:
        fill_contacts(stand.factory.kw["bind"], 1, size)
        list_id = fill_list(stand.factory.kw["bind"], "Everybody", 1, size)
        for _ in range(options.repeated()):
            pages = enrol_all(stand, list_id)
            enrolled.append(size / sum(pages))
            longest = max(longest, *pages)
            bare.append(size / insert_bare(stand))
    name, beside = "enrolment", "enrolment, bare INSERT … SELECT"
    report.add(beside, _median(bare), "rows/s", note=f"{size:,} rows, the same columns and indexes, in order")
    report.add(name, _median(enrolled), "rows/s", against=beside, note=f"the longest page took {longest:.2f} s")
    report.at_least("enrolment over a bare INSERT … SELECT", report.ratio(name, beside), FLOOR)


def enrol_all(stand: Stand, list_id: int) -> list[float]:
    """Seconds of each page."""
    with stand.factory.begin() as session:
        mailing = add_mailing(session, MailingState.PAUSED)
        mailing.list_ids = [list_id]
        mailing_id = mailing.id
    pages, more = [], True
    while more:
        began = time.monotonic()
        with stand.factory.begin() as session:
            more = enrol.enrol_page(session, mailing_id, stand.settings, utc_now())
        pages.append(time.monotonic() - began)
    return pages


def insert_bare(stand: Stand) -> float:
    """Seconds for the rows of the newest mailing once more, under a number that no mailing has."""
    with stand.factory() as session:
        newest = session.scalars(select(func.max(Mailing.id))).one()
    began = time.monotonic()
    with stand.factory.begin() as session:
        session.execute(_BARE, {"id": newest})
    return time.monotonic() - began


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


_BARE = text("""
INSERT INTO deliveries (mailing_id, position, contact_id, address_hash, state, reason, changed_at)
SELECT -mailing_id, position, contact_id, address_hash, state, reason, changed_at FROM deliveries
WHERE mailing_id = :id ORDER BY position
""")
