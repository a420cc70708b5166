"""F10: Postgres restarts while mail is being sent (fast and immediate): nothing is falsely accepted, and what was in
flight is accepted by its result once Postgres is back, or unknown."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker

from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory, make_engine
from email_campaign.delivery import dispatch
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.local import places, ports, postgres
from email_campaign.local.migrate import migrate
from email_campaign.local.programs import Lifeline, Process, wait_until_ready
from email_campaign.settings import Settings
from tests.delivery.conftest import Engine
from tests.faults.tally import Tally
from tests.faults.waiting import wait_until
from tests.invariants import check_counts, check_settled
from tests.tools.scripted_smtp import Rule, Script, ScriptedServer

pytestmark = pytest.mark.faults

COUNT = 400
ACCEPTED, UNKNOWN = DeliveryState.ACCEPTED, DeliveryState.UNKNOWN


class Cluster:
    """A Postgres of this test's own, that may be stopped and started."""

    def __init__(self, lifeline: Lifeline, folder: Path) -> None:
        bin_dir = postgres.find_binaries(places.data_dir(Settings()), Settings().postgres_bin_dir)
        # Durable, since a crash is part of the test.
        self.made = postgres.prepare(folder, port=ports.free_port(), bin_dir=bin_dir)
        self._lifeline = lifeline
        self._log = folder.with_suffix(".log")
        self._process: Process | None = None

    def start(self) -> None:
        """Start it and wait until it serves."""
        self._process = self._lifeline.start(self.made.program(), self._log)
        wait_until_ready(self.made.program(), self._process, self._log)

    def stop(self, how: signal.Signals) -> None:
        """SIGINT: fast shutdown; SIGQUIT: immediate, as a crash."""
        assert self._process
        self._process.send_signal(how)
        self._process.wait(30)
        self._lifeline.release(self._process)


@pytest.fixture(scope="module")
def cluster(lifeline: Lifeline, services_dir: Path) -> Iterator[Cluster]:
    made = Cluster(lifeline, services_dir / "postgres-f10")
    made.start()
    yield made
    made.stop(signal.SIGINT)


@pytest.fixture
def engine(cluster: Cluster, settings: Settings, relay: ScriptedServer) -> Iterator[Engine]:
    """An engine on that Postgres."""
    url = cluster.made.url.replace("postgresql:", "postgresql+psycopg:", 1)
    ours = settings.model_copy(update={"database_url": url, "smtp_port": relay.address[1]})
    migrate(ours)
    factory: SessionFactory = sessionmaker(make_engine(ours), expire_on_commit=False)
    made = Engine(factory, ours, relay)
    yield made
    made.close()
    factory.kw["bind"].dispose()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_f10_nothing_is_lost_or_falsely_accepted_when_postgres_restarts(
    cluster: Cluster, engine: Engine, script: Script, tally: Tally, how: signal.Signals
) -> None:
    script.rules.append(Rule("dot", delay_seconds=0.2))
    mailing_id = engine.launch(COUNT)
    engine.enrol(mailing_id)
    driving = threading.Thread(target=_drive, args=[engine, mailing_id])
    driving.start()
    for part in (60, 180):
        engine.relay.log.wait_for("body-complete", part)
        cluster.stop(how)
        tally.made()
        time.sleep(0.5)  # the relay answers into the outage
        cluster.start()
    driving.join()
    with engine.factory() as session:
        check_counts(session, mailing_id)
        check_settled(session, mailing_id, engine.settings, engine.relay.log)
    states = engine.states(mailing_id)
    assert set(states) <= {ACCEPTED, UNKNOWN}
    # The results waited in memory: at most what a beat gave up meanwhile could be unknown, and its late result counts.
    wait_until(lambda: engine.states(mailing_id) == {ACCEPTED: COUNT})


def _drive(engine: Engine, mailing_id: int) -> None:
    """What Celery does, over and over; what fails in an outage is done again."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            if engine.is_settled(mailing_id):
                return
            threads = [threading.Thread(target=_send, args=[engine, slice_id]) for slice_id in engine.dispatch()]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            engine.sweep()
            with engine.factory.begin() as session:
                dispatch.finish_if_done(session, mailing_id, utc_now())
        except (DBAPIError, psycopg.Error):
            time.sleep(0.05)


def _send(engine: Engine, slice_id: int) -> None:
    with suppress(DBAPIError):  # as the task, which logs it and leaves the rest to the sweep
        engine.process.send_slice(slice_id)
