"""F29: many copies in the ledger and somebody's old transaction open: what taking a slice and counting a commit
read does not grow. `make bench` measures the same at ten millions, in milliseconds."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import sessionmaker

from bench.scale_ledger import Costs, Desk, old_snapshot
from bench.scale_tables import Ledger, fill_contacts, fill_ledger
from email_campaign.db import SessionFactory
from email_campaign.settings import Settings
from tests.tables import empty_tables

COPIES = 400_000
FEW_COPIES = 30_000
SLICES = 60
RATE = 133.0
"""Slices of 200: what one reads is far less than a look at every copy."""
BLOCKS_A_ROW = 8
"""A row of the ledger, its contact, and the way to both through the indexes."""
BLOCKS_BESIDE = 500
BLOCKS_A_COMMIT = 60


@pytest.fixture
def filled_factory(engine: Engine) -> Iterator[SessionFactory]:
    """Sessions on tables that are emptied at the end of each test."""
    yield sessionmaker(engine, expire_on_commit=False)
    empty_tables(engine)


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_f29_neither_a_large_ledger_nor_an_old_snapshot_makes_work_dearer(
    engine: Engine, filled_factory: SessionFactory, settings: Settings
) -> None:
    fill_contacts(engine, 1, COPIES)
    ledger = fill_ledger(engine, filled_factory, COPIES)
    desk = Desk(filled_factory, settings, ledger)
    with filled_factory.begin() as session:
        session.execute(text("UPDATE workers SET rate_per_second = :rate"), {"rate": RATE})
    check_costs(filled_factory, desk)
    with old_snapshot(engine):
        desk.work(Costs(), SLICES)
        check_costs(filled_factory, desk)
        check_counting(filled_factory, ledger, desk)


def test_f29_a_mailing_that_is_younger_than_the_statistics_is_no_dearer(
    engine: Engine, filled_factory: SessionFactory, settings: Settings
) -> None:
    fill_contacts(engine, 1, FEW_COPIES)
    old = fill_ledger(engine, filled_factory, FEW_COPIES)
    with filled_factory.begin() as session:
        session.execute(text("UPDATE mailings SET state = 'paused' WHERE id = :id"), {"id": old.mailing_id})
    desk = Desk(filled_factory, settings, fill_ledger(engine, filled_factory, FEW_COPIES, is_known=False))
    with filled_factory.begin() as session:
        session.execute(text("UPDATE workers SET rate_per_second = :rate"), {"rate": RATE})
    check_costs(filled_factory, desk, 2 * BLOCKS_A_ROW)


def check_costs(factory: SessionFactory, desk: Desk, most: float = BLOCKS_A_ROW) -> None:
    """By the least: an autovacuum that works beside us counts as well, and a bad plan makes every slice dear."""
    taking, letting_go = [], []
    for slice_id in desk.deal(Costs()):
        before = blocks(factory)
        lease = desk.take(slice_id)
        between = blocks(factory)
        desk.let_go(lease)
        rows = len(lease.copies)
        taking.append((between - before - BLOCKS_BESIDE) / rows)
        letting_go.append((blocks(factory) - between - BLOCKS_BESIDE) / rows)
    assert len(taking) >= 5
    assert min(taking) <= most, taking
    assert min(letting_go) <= most, letting_go


def check_counting(factory: SessionFactory, ledger: Ledger, desk: Desk) -> None:
    counting = []
    for _ in range(9):
        before = blocks(factory)
        desk.count(desk.workers[0], ledger.mailing_id, 1)
        counting.append(blocks(factory) - before)
    assert min(counting) <= BLOCKS_A_COMMIT, counting


def blocks(factory: SessionFactory) -> int:
    """How many blocks this database's statements have read so far, from memory or from the disk."""
    with factory.begin() as session:
        session.execute(text("SELECT pg_stat_force_next_flush()"))
    with factory() as session:
        query = text("SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()")
        return int(session.scalar(query) or 0)
