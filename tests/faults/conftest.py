"""What the fault tests stand on: the engine in this process, or the whole service in processes that can be killed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine as Database
from sqlalchemy import text

from email_campaign.db import SessionFactory
from email_campaign.local.programs import Lifeline
from email_campaign.settings import Settings
from tests.delivery.conftest import engine_room, make_engine, relay, script  # noqa: F401 – fixtures
from tests.invariants import check_counts, check_settled
from tests.service import Service, running_service
from tests.tables import empty_tables
from tests.tools.scripted_smtp import Script, ScriptedServer, running_smtp


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    """The relay of the service; its rules are taken away after each test."""
    with running_smtp(Script(keep_bodies=False), tmp_path_factory.mktemp("wire") / "wire.jsonl") as server:
        yield server


@pytest.fixture(scope="module")
def service(
    engine: Database,
    settings: Settings,
    lifeline: Lifeline,
    services_dir: Path,
    sink: ScriptedServer,
    request: pytest.FixtureRequest,
) -> Iterator[Service]:
    """The service in processes of its own, one for each file, on a broker that starts empty."""
    folder = services_dir / str(request.path.stem)
    folder.mkdir()
    redis.Redis.from_url(settings.redis_url).flushall()
    with running_service(settings, lifeline, folder, sink.address) as running:
        yield running
    empty_tables(engine)


@pytest.fixture(autouse=True)
def usual_sink(request: pytest.FixtureRequest) -> Iterator[None]:
    """The relay does as usual again after each test."""
    yield
    if "sink" in request.fixturenames:
        request.getfixturevalue("sink").script.rules.clear()


@pytest.fixture
def settled(service: Service, sink: ScriptedServer) -> Callable[[int], dict[str, int]]:
    """Waits for a campaign's end and checks it against rows and wire; its counts."""

    def wait(campaign_id: int) -> dict[str, int]:
        counts = service.finished(campaign_id)
        check_mailing(service.factory, campaign_id, service.settings, sink)
        return counts

    return wait


def check_mailing(factory: SessionFactory, mailing_id: int, settings: Settings, server: ScriptedServer) -> None:
    """I1 to I5 of a settled mailing."""
    with factory() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        check_counts(session, mailing_id)
        check_settled(session, mailing_id, settings, server.log)


def scalar(factory: SessionFactory, query: str, **values: object) -> int:
    """One number from the database."""
    with factory() as session:
        return int(session.scalar(text(query), values) or 0)
