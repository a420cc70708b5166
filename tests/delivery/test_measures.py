"""What a send process counts of itself is in its row with the next beat."""

from collections.abc import Callable

from sqlalchemy import text

from email_campaign.campaigns.limits import RateLimit
from email_campaign.delivery.measures import COMMIT_BOUNDS, CommitTimes, Measures
from email_campaign.delivery.workers import Worker
from tests.delivery.conftest import Engine


def measured(engine: Engine) -> Measures:
    engine.process._beat(None)
    with engine.factory() as session:
        return Measures.read(session.get_one(Worker, engine.process.worker_id).measures)


def test_a_beat_brings_what_was_sent_granted_and_committed(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    assert measured(engine) == Measures(most_connections=engine.settings.send_connections)
    mailing_id = engine.launch(6, limits=[RateLimit(1000, 1)])
    engine.run(mailing_id)
    seen = measured(engine)
    assert seen.answered_count == 6
    assert seen.slice_count >= 1
    assert seen.slice_at > 0
    assert seen.granted_count >= 6
    assert sum(seen.commit_groups) >= 1
    assert seen.commit_seconds > 0
    assert seen.opened_count >= 1
    assert seen.idle_now >= 1
    assert seen.commit_retry_count == seen.dropped_count == 0


def test_a_limit_that_grants_nothing_is_counted(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    mailing_id = engine.launch(3, limits=[RateLimit(1, 3600)])
    engine.enrol(mailing_id)
    engine.send(engine.dispatch())
    seen = measured(engine)
    assert seen.answered_count == 1
    assert seen.refused_count >= 1
    with engine.factory() as session:
        assert session.scalar(text("SELECT count(*) FROM slices WHERE hold_reason = 'limit'"))


def test_commits_are_grouped_by_their_time() -> None:
    times = CommitTimes()
    for seconds in (0.001, COMMIT_BOUNDS[0], 0.3, 99.0):
        times.add(seconds)
    assert times.groups == [2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
