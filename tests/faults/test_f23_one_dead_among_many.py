"""F23: 5,000 live slices and one of a dead worker: it is rescued in one sweep, and the live ones are left alone."""

import time

import pytest
from sqlalchemy import text

from email_campaign.clock import utc_now
from email_campaign.delivery import leases, workers
from email_campaign.delivery.deliveries import DeliveryState
from tests.delivery.conftest import Engine
from tests.faults.tally import Tally

LIVE = 999_999
ACCEPTED = DeliveryState.ACCEPTED


@pytest.mark.parametrize("count", [200, pytest.param(5000, marks=pytest.mark.faults)])
def test_f23_the_slice_of_the_dead_is_rescued_in_one_sweep(engine_room: Engine, tally: Tally, count: int) -> None:
    mailing_id = engine_room.launch(1)
    engine_room.enrol(mailing_id)
    (slice_id,) = engine_room.dispatch()
    with engine_room.factory.begin() as session:
        dead = workers.register(session, host="gone", pid=1, now=utc_now())
        assert leases.take(session, slice_id, dead, token=1)
        workers.sign_off(session, dead)
        session.execute(
            text("""
INSERT INTO slices (mailing_id, first_position, last_position, row_count, lane, published_at, worker_id, token)
SELECT 77, n, n, 1, 0, now(), :worker, n FROM generate_series(1, :count) AS n"""),
            {"worker": LIVE, "count": count},
        )
    tally.made()
    began = time.monotonic()
    engine_room.sweep()
    assert time.monotonic() - began < 3.0
    with engine_room.factory() as session:
        assert session.scalar(text("SELECT count(*) FROM slices WHERE worker_id = :w"), {"w": LIVE}) == count
        assert workers.leases_of_the_dead(session) == []
    assert engine_room.run(mailing_id) == {ACCEPTED: 1}


def test_f23_a_slice_that_went_on_to_a_live_worker_is_not_taken_back_from_it(engine_room: Engine, tally: Tally) -> None:
    mailing_id = engine_room.launch(1)
    engine_room.enrol(mailing_id)
    (slice_id,) = engine_room.dispatch()
    with engine_room.factory.begin() as session:
        dead = workers.register(session, host="stopped", pid=1, now=utc_now())
        lease = leases.take(session, slice_id, dead, token=1)
        workers.sign_off(session, dead)
        (seen,) = workers.leases_of_the_dead(session)  # what a sweep saw, and then was slow
    assert lease
    tally.made()
    with engine_room.factory.begin() as session:
        leases.let_go(session, lease)
    with engine_room.factory.begin() as session:
        alive = workers.register(session, host="here", pid=2, now=utc_now())
        assert leases.take(session, slice_id, alive, token=2)
        leases.take_back(session, seen, why="too late")
        assert [held.token for held in workers.leases_of(session, alive)] == [2]
        workers.sign_off(session, alive)
    engine_room.sweep()
    assert engine_room.run(mailing_id) == {ACCEPTED: 1}
