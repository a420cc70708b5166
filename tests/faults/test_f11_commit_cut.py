"""F11: the answer to a COMMIT is cut: an accepted copy is accepted and never sent again, and no row is left behind."""

import threading
from collections.abc import Callable, Iterator

import pytest

from email_campaign.campaigns import campaigns
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.settings import Settings
from tests.delivery.conftest import Engine
from tests.faults.tally import Tally
from tests.faults.waiting import target_of, through, wait_until
from tests.tools.proxy import Proxy, running_proxy
from tests.tools.scripted_smtp import Rule, Script

ACCEPTED, PENDING = DeliveryState.ACCEPTED, DeliveryState.PENDING
COMMIT = b"COMMIT\0"


@pytest.fixture
def proxy(settings: Settings) -> Iterator[Proxy]:
    """Between the recorder and Postgres."""
    with running_proxy(target_of(settings.database_url)) as running:
        yield running


@pytest.fixture
def engine(make_engine: Callable[..., Engine], settings: Settings, proxy: Proxy) -> Engine:
    """An engine whose recorder alone goes through the proxy, and slow enough to be cut in its midst."""
    return make_engine(database_url=through(settings.database_url, proxy), send_connections=4)


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("before", ["body-begun", "body-complete"])
def test_f11_a_commit_that_is_cut_again_and_again_doubles_and_loses_nobody(
    engine: Engine, proxy: Proxy, script: Script, tally: Tally, direction: str, before: str
) -> None:
    script.rules.append(Rule("dot", delay_seconds=0.15))
    mailing_id = engine.launch(40)
    engine.enrol(mailing_id)
    sending = threading.Thread(target=engine.send, args=[engine.dispatch()])
    sending.start()
    for cut in range(1, 4):
        engine.relay.log.wait_for(before, cut * 6)
        proxy.cut_when(COMMIT, direction="up" if direction == "up" else "down")
        wait_until(lambda cut=cut: proxy.cut_count >= cut or not sending.is_alive())  # type: ignore[misc]
    sending.join()
    assert proxy.cut_count, "void: all was committed before"
    tally.made(proxy.cut_count)
    assert engine.run(mailing_id) == {ACCEPTED: 40}
    assert len(engine.relay.log.bodies()) == 40
    assert [(a["number"], a["late"]) for a in engine.attempts(mailing_id)] == [(1, False)] * 40


def test_f11_an_intent_whose_answer_was_cut_before_a_pause_leaves_no_row_in_flight(
    engine: Engine, proxy: Proxy, tally: Tally
) -> None:
    mailing_id = engine.launch(1)
    engine.enrol(mailing_id)
    proxy.cut_when(COMMIT, direction="down")
    sending = threading.Thread(target=engine.send, args=[engine.dispatch()])
    sending.start()
    wait_until(lambda: proxy.cut_count == 1)
    proxy.refuse()
    tally.made(proxy.cut_count)
    with engine.factory.begin() as session:
        campaigns.pause(session, mailing_id, actor="test")
    proxy.accept()
    sending.join()
    assert engine.relay.log.bodies() == []
    assert engine.states(mailing_id) == {PENDING: 1}
    with engine.factory.begin() as session:
        campaigns.resume(session, mailing_id, actor="test")
    assert engine.run(mailing_id) == {ACCEPTED: 1}
