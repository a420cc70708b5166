"""Old attempts are put away in pages, and whatever needs them later still knows what it must."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select, text

from email_campaign.campaigns.mailings import Mailing, MailingEvent, MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery import put_away
from email_campaign.delivery.attempts import Attempt
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.proof import Verdict, prove
from email_campaign.delivery.proof_checks import OF_ATTEMPTS
from email_campaign.delivery.put_away import put_away_old
from email_campaign.delivery.retry_by_hand import Retryable, retry
from email_campaign.delivery.unknown import Decision, Resolution, resolve
from tests import factories
from tests.delivery.conftest import Engine
from tests.tools.scripted_smtp import Rule, Script

DAYS = 30
LATER = timedelta(days=DAYS, seconds=1)


def finished(factory: SessionFactory, copies: int = 3, *, settled_at: datetime | None = None) -> int:
    """A finished mailing whose copies were all accepted."""
    with factory.begin() as session:
        mailing = factories.make_mailing(session, state=MailingState.FINISHED)
        mailing.settled_at = settled_at or utc_now()
        for _ in range(copies):
            delivery = factories.make_delivery(session, mailing, state=DeliveryState.ACCEPTED)
            factories.make_attempt(session, delivery).variables = {"name": "Ada"}
        return mailing.id


def attempts(factory: SessionFactory, mailing_id: int) -> list[Attempt]:
    with factory() as session:
        return list(session.scalars(select(Attempt).where(Attempt.mailing_id == mailing_id).order_by(Attempt.position)))


def mailing(factory: SessionFactory, mailing_id: int) -> Mailing:
    with factory() as session:
        return session.get_one(Mailing, mailing_id)


def test_the_attempts_go_when_their_time_is_over_and_not_before(session_factory: SessionFactory) -> None:
    now = utc_now()
    old = finished(session_factory, settled_at=now - LATER)
    young = finished(session_factory, settled_at=now - timedelta(days=DAYS - 1))
    assert put_away_old(session_factory, DAYS, now) is False
    assert (len(attempts(session_factory, old)), len(attempts(session_factory, young))) == (0, 3)
    assert mailing(session_factory, old).attempts_put_away_at == now
    assert mailing(session_factory, young).attempts_put_away_at is None
    with session_factory() as session:
        kinds = session.execute(select(MailingEvent.mailing_id, MailingEvent.kind)).all()
        assert [tuple(kind) for kind in kinds] == [(old, "put_away")]
    assert put_away_old(session_factory, DAYS, now + LATER) is False
    with session_factory() as session:
        assert session.scalar(select(func.count()).where(MailingEvent.mailing_id == old)) == 1


def test_with_zero_days_they_stay_for_good(session_factory: SessionFactory) -> None:
    old = finished(session_factory, settled_at=utc_now() - timedelta(days=9_000))
    assert put_away_old(session_factory, 0, utc_now()) is False
    assert len(attempts(session_factory, old)) == 3


def test_what_is_not_settled_keeps_its_attempts(session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        sending = factories.make_mailing(session)
        sending.launched_at = utc_now() - timedelta(days=9_000)
        factories.make_attempt(session, factories.make_delivery(session, sending))
    put_away_old(session_factory, DAYS, utc_now())
    assert len(attempts(session_factory, sending.id)) == 1


def test_it_goes_on_where_it_stopped(session_factory: SessionFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(put_away, "PAGE", 2)
    monkeypatch.setattr(put_away, "MOST_PAGES", 2)
    now = utc_now()
    old = finished(session_factory, 5, settled_at=now - LATER)
    assert put_away_old(session_factory, DAYS, now) is True
    assert [one.position for one in attempts(session_factory, old)] == [5]
    assert prove(session_factory, old, now).verdict is Verdict.DOES_NOT_HOLD  # no stretch: made by hand
    assert put_away_old(session_factory, DAYS, now + timedelta(days=1)) is False
    assert attempts(session_factory, old) == []
    assert mailing(session_factory, old).attempts_put_away_at == now


def test_a_mailing_that_is_opened_in_between_is_left_alone(
    session_factory: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(put_away, "PAGE", 2)
    monkeypatch.setattr(put_away, "MOST_PAGES", 1)
    now = utc_now()
    old = finished(session_factory, 5, settled_at=now - LATER)
    put_away_old(session_factory, DAYS, now)
    with session_factory.begin() as session:
        session.execute(text("UPDATE mailings SET state = 'sending', settled_at = NULL"))
    assert put_away_old(session_factory, DAYS, now) is False
    assert len(attempts(session_factory, old)) == 3
    with session_factory.begin() as session:
        settled = text("UPDATE mailings SET state = 'finished', settled_at = :now")
        session.execute(settled, {"now": now + timedelta(hours=1)})
    assert put_away_old(session_factory, DAYS, now + timedelta(days=1)) is False
    assert len(attempts(session_factory, old)) == 3
    much_later = now + LATER + timedelta(hours=1)
    while put_away_old(session_factory, DAYS, much_later):
        pass
    assert attempts(session_factory, old) == []
    assert mailing(session_factory, old).attempts_put_away_at == much_later


def test_a_mailing_without_its_attempts_is_not_taken_for_a_broken_one(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(4)
    engine_room.run(mailing_id)
    later = utc_now() + LATER
    put_away_old(engine_room.factory, DAYS, later)
    assert engine_room.attempts(mailing_id) == []
    made = prove(engine_room.factory, mailing_id, later)
    assert made.verdict is Verdict.HOLDS
    for tally in made.tallies:
        if tally.check in OF_ATTEMPTS:
            assert tally.note == f"The attempts were put away on {later:%Y-%m-%d}: only newer ones count."
            assert tally.checked_count == 0


def test_what_is_tried_again_after_that_is_proved_by_its_new_attempts(engine_room: Engine, script: Script) -> None:
    script.rules.append(Rule("rcpt", reply=b"554 5.7.1 not today", first=1))
    mailing_id = engine_room.launch(2)
    engine_room.run(mailing_id)
    with engine_room.factory.begin() as session:
        # As if all of it had been long ago.
        session.execute(text("UPDATE mailings SET settled_at = settled_at - interval '40 days'"))
        session.execute(text("UPDATE deliveries SET changed_at = changed_at - interval '40 days'"))
    put_away_old(engine_room.factory, DAYS, utc_now())
    with engine_room.factory.begin() as session:
        assert retry(session, mailing_id, Retryable.REJECTED, actor="Ada", now=utc_now()) == 2
    assert engine_room.run(mailing_id) == {DeliveryState.ACCEPTED: 2}
    assert [one["number"] for one in engine_room.attempts(mailing_id)] == [2, 2]
    assert prove(engine_room.factory, mailing_id, utc_now()).verdict is Verdict.HOLDS
    with engine_room.factory.begin() as session:
        session.execute(text("DELETE FROM attempts WHERE position = 1"))
    assert prove(engine_room.factory, mailing_id, utc_now()).verdict is Verdict.DOES_NOT_HOLD


def test_who_may_have_it_already_is_remembered(make_engine: Callable[..., Engine], script: Script) -> None:
    engine = make_engine(retry_delays_seconds=(0.01,))
    script.rules.append(Rule("dot", drop=True))
    mailing_id = engine.launch(1, unknown_policy="resend")
    engine.enrol(mailing_id)
    while not engine.is_settled(mailing_id):
        engine.send(engine.dispatch())
        engine.sweep()
    assert [one["verdict"] for one in engine.attempts(mailing_id)] == ["unknown", "unknown"]
    put_away_old(engine.factory, DAYS, utc_now() + LATER)
    assert [(one["verdict"], one["variables"]) for one in engine.attempts(mailing_id)] == [("unknown", None)] * 2
    with engine.factory.begin() as session:
        now = utc_now()
        assert resolve(session, mailing_id, [1], Decision(Resolution.RESEND, "Ada", now), now) == 1
    while not engine.is_settled(mailing_id):
        engine.send(engine.dispatch())
        engine.sweep()
    # By hand once, and not by the policy once more.
    assert [one["phase"] for one in engine.attempts(mailing_id)] == ["body", "body", "hand", "body"]
    assert prove(engine.factory, mailing_id, utc_now()).verdict is Verdict.HOLDS
