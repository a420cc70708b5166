"""Counters that went wrong are mended from the rows."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery import workers
from email_campaign.delivery.deliveries import DeliveryState, states_of
from email_campaign.delivery.recount import LOOK_BACK, recount, recount_recent
from tests import factories


def test_counters_that_drifted_are_set_to_what_the_rows_say(session: Session) -> None:
    mailing = factories.make_mailing(session)
    for state in (DeliveryState.ACCEPTED, DeliveryState.ACCEPTED, DeliveryState.REJECTED):
        factories.make_delivery(session, mailing, state=state)
    session.execute(text("UPDATE counters SET count = count + 5 WHERE state = 'accepted'"))
    session.execute(
        text("INSERT INTO counters (mailing_id, worker_id, state, count) VALUES (:m, 9, 'pending', 2)"),
        {"m": mailing.id},
    )
    assert recount(session, mailing.id) == {"accepted": -5, "pending": -2}
    states = states_of(session, mailing.id)
    assert {state: n for state, n in states.items() if n} == {DeliveryState.ACCEPTED: 2, DeliveryState.REJECTED: 1}
    assert recount(session, mailing.id) == {}


def test_a_long_recount_is_done_in_hops(session: Session, session_factory: SessionFactory) -> None:
    ids = [factories.make_mailing(session).id for _ in range(3)]
    old = factories.make_mailing(session)
    old.launched_at = utc_now() - LOOK_BACK
    wrong = text("INSERT INTO counters (mailing_id, worker_id, state, count) VALUES (:m, 9, 'pending', 2)")
    session.execute(wrong, [{"m": mailing_id} for mailing_id in (*ids, old.id)])
    session.commit()
    after, hops = recount_recent(session_factory, utc_now(), 0, seconds=0), 1
    while after is not None:
        after, hops = recount_recent(session_factory, utc_now(), after, seconds=0), hops + 1
    assert hops == len(ids)
    counts = session.execute(text("SELECT mailing_id, sum(count) FROM counters GROUP BY 1 HAVING sum(count) <> 0"))
    assert [mailing_id for mailing_id, _ in counts] == [old.id]


def test_parts_that_a_living_worker_is_done_with_are_folded_and_the_sums_stay(session: Session) -> None:
    mailing, worker = factories.make_mailing(session), factories.make_worker(session)
    for part in range(4):
        row = {"m": mailing.id, "w": worker.id, "p": part}
        session.execute(
            text(
                "INSERT INTO counters (mailing_id, worker_id, part, state, count) VALUES (:m, :w, :p, 'accepted', 10)"
            ),
            row,
        )
    workers.fold_counters(session)
    rows = session.execute(text("SELECT worker_id, part, count FROM counters ORDER BY worker_id, part")).all()
    assert [tuple(row) for row in rows] == [(0, 0, 20), (worker.id, 2, 10), (worker.id, 3, 10)]
    assert states_of(session, mailing.id)[DeliveryState.ACCEPTED] == 40
