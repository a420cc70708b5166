"""What the fault tests stand on: the engine in this process, or the whole service in processes that can be killed."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine as Database
from sqlalchemy import text

from email_campaign.local.programs import Lifeline, Process
from email_campaign.settings import Settings
from tests.delivery.conftest import engine_room, make_engine, relay, script  # noqa: F401 – fixtures
from tests.faults.tally import PROPERTY, Tally
from tests.faults.waiting import wait_until
from tests.invariants import TOLLS, check_carried, check_counts, check_settled
from tests.service import Service, running_service
from tests.tables import empty_tables
from tests.tools.scripted_smtp import Script, ScriptedServer, running_smtp

FINISH_SECONDS = 100.0
LONG_SECONDS = 300
"""For a long test together with the start of its service, which takes minutes where many others want the processors."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests get more time than others; those that know better say so themselves."""
    for item in items:
        if item.get_closest_marker("faults") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_SECONDS))


@pytest.fixture(autouse=True)
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """The test's numbers for the table of `make faults`."""
    TOLLS.clear()
    relay: ScriptedServer | None = request.getfixturevalue("relay") if "relay" in request.fixturenames else None  # noqa: F811
    counted = Tally()
    yield counted
    request.node.user_properties.append((PROPERTY, counted.numbers(relay.log if relay else None)))


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    """The relay of the service."""
    with running_smtp(Script(keep_bodies=False), tmp_path_factory.mktemp("wire") / "wire.jsonl") as server:
        yield server


@pytest.fixture(scope="module")
def service_settings(settings: Settings) -> Settings:
    """The settings of the service; a file that needs others overrides this."""
    return settings


@pytest.fixture(scope="module")
def service(
    engine: Database,
    settings: Settings,
    service_settings: Settings,
    lifeline: Lifeline,
    services_dir: Path,
    sink: ScriptedServer,
    request: pytest.FixtureRequest,
) -> Iterator[Service]:
    """The service in processes of its own, one for each file, on a broker that starts empty."""
    folder = services_dir / str(request.path.stem)
    folder.mkdir()
    with redis.Redis.from_url(settings.redis_url) as broker:
        broker.flushall()
    with running_service(service_settings, lifeline, folder, sink.address) as running:
        yield running
    empty_tables(engine)


@pytest.fixture
def scene(service: Service, sink: ScriptedServer, tally: Tally) -> Iterator["Scene"]:
    """The running service with its relay as usual; what was killed is there again for the next test."""
    sink.script.rules.clear()
    yield Scene(service, sink, tally)
    sink.script.rules.clear()
    for name in ("send1", "send2"):
        if name not in service.processes:
            service.start(name)


@dataclass
class Scene:
    """The service, its relay, and what one does to them."""

    service: Service
    sink: ScriptedServer
    tally: Tally

    def bodies(self, campaign_id: int) -> int:
        """How many bodies of this campaign were complete on the wire."""
        return sum(len(events) for events in self.wire(campaign_id).values())

    def wire(self, campaign_id: int) -> dict[str, list[Any]]:
        """Complete bodies of this campaign by recipient."""
        with self.service.factory() as session:
            query = text(
                "SELECT c.address FROM deliveries d JOIN contacts c ON c.id = d.contact_id WHERE mailing_id = :m"
            )
            theirs = set(session.scalars(query, {"m": campaign_id}))
        return {who: found for who, found in self.sink.log.bodies_by_recipient().items() if who in theirs}

    def until_bodies(self, campaign_id: int, count: int) -> None:
        """Wait until so many bodies of this campaign were complete."""
        wait_until(lambda: self.bodies(campaign_id) >= count, 60)

    def count(self, campaign_id: int, state: str) -> int:
        """How many of its copies are in this state."""
        return int(self.service.get(f"/campaigns/{campaign_id}")["counts"][state])

    def leases_of(self, name: str) -> int:
        """How many slices this program holds, as Postgres has it."""
        return self._ask(name, "SELECT count(*) FROM slices s JOIN workers w ON w.id = s.worker_id WHERE w.pid = :pid")

    def lives_of(self, name: str) -> int:
        """How often it registered: again when it finds that it was declared dead."""
        return self._ask(name, "SELECT count(*) FROM workers w WHERE w.pid = :pid")

    def kill(self, *names: str) -> None:
        """Kill these programs, without a chance to say anything."""
        self.tally.made(len(names))
        for name in names:
            os.killpg(self.service.processes[name].pid, signal.SIGKILL)
        for name in names:
            self.service.lifeline.release(self.end_of(name))

    def end_of(self, name: str) -> Process:
        """Wait until the program has ended."""
        process = self.service.processes.pop(name)
        process.wait(30)
        return process

    def signal(self, name: str, which: signal.Signals) -> None:
        """Send a signal to a program and all its children."""
        self.tally.made(which is not signal.SIGCONT)
        os.killpg(self.service.processes[name].pid, which)

    def finished(self, campaign_id: int) -> dict[str, int]:
        """Wait until the campaign is finished; its counts, without zeros."""
        path = f"/campaigns/{campaign_id}"
        campaign = self.service.wait(path, lambda c: c["state"] == "finished", FINISH_SECONDS)
        return {state: count for state, count in campaign["counts"].items() if count}

    def settled(self, campaign_id: int) -> dict[str, int]:
        """Its counts when it is finished, with I1 to I6 checked against rows and wire."""
        counts = self.finished(campaign_id)
        with self.service.factory() as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            check_counts(session, campaign_id)
            check_carried(session, campaign_id)
            check_settled(session, campaign_id, self.service.settings, self.sink.log)
        return counts

    def _ask(self, name: str, query: str) -> int:
        with self.service.factory() as session:
            return int(session.scalar(text(query), {"pid": self.service.processes[name].pid}) or 0)
