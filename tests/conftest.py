"""What every test may stand on: a real Postgres made by Alembic, a real Valkey, and tables that start empty."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from email_campaign.db import SessionFactory, make_engine
from email_campaign.local import places, ports, postgres, valkey
from email_campaign.local.migrate import migrate
from email_campaign.local.programs import Lifeline, running
from email_campaign.settings import Settings
from tests.tables import empty_tables

pytest_plugins = ["tests.commands", "tests.mailhog", "tests.order"]

# How fast an example is says how busy the machine is.
hypothesis.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis.load_profile("house")


@pytest.fixture(scope="session")
def lifeline() -> Iterator[Lifeline]:
    """Ends what the tests started even when they are killed."""
    with Lifeline() as line:
        yield line


@pytest.fixture(scope="session")
def services_dir() -> Iterator[Path]:
    """A folder through which Postgres' account can walk; pytest's own are closed to it when the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="email-campaign-test-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="session")
def postgres_url(lifeline: Lifeline, services_dir: Path) -> Iterator[str]:
    """A Postgres for this session: the one of TEST_DATABASE_URL, else an embedded one."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    bin_dir = postgres.find_binaries(places.data_dir(Settings()), Settings().postgres_bin_dir)
    cluster = postgres.prepare(
        services_dir / "postgres", port=ports.free_port(), bin_dir=bin_dir, settings=postgres.SETTINGS_FOR_TESTS
    )
    with running(lifeline, cluster.program(), services_dir / "postgres.log"):
        yield cluster.url


@pytest.fixture(scope="session")
def redis_url(lifeline: Lifeline, services_dir: Path) -> Iterator[str]:
    """A Valkey for this session: the one of TEST_REDIS_URL, else an embedded one."""
    if url := os.environ.get("TEST_REDIS_URL"):
        yield url
        return
    server = valkey.prepare(services_dir / "valkey", port=ports.free_port(), durable=False)
    with running(lifeline, server.program(), services_dir / "valkey.log"):
        yield server.url


@pytest.fixture(scope="session")
def settings(postgres_url: str, redis_url: str, services_dir: Path) -> Settings:
    """Settings on real services, with the waits of a day scaled down to those of a test."""
    return Settings(
        _env_file=None,
        database_url=postgres_url,
        redis_url=redis_url,
        secret_key=SecretStr("test-secret-key-of-no-value"),
        smtp_connect_timeout_seconds=2.0,
        smtp_command_timeout_seconds=5.0,
        smtp_final_dot_timeout_seconds=10.0,
        worker_beat_seconds=0.2,
        sweep_seconds=0.2,
        worker_dead_looks=15,  # a busy machine must not bury the living
        window_deadline_seconds=5.0,
        retry_delays_seconds=(0.3, 0.6, 1.2),
        relay_retry_seconds=(0.1, 1.0),
        relay_slow_seconds=(0.1, 3.0),
        task_hop_seconds=0.5,
        task_lease_seconds=2.0,
        media_dir=services_dir / "media",
    )


@pytest.fixture(scope="session")
def engine(settings: Settings) -> Iterator[Engine]:
    """An engine on the migrated database."""
    migrate(settings)
    made = make_engine(settings)
    yield made
    made.dispose()


@pytest.fixture
def session_factory(engine: Engine) -> Iterator[SessionFactory]:
    """A factory of sessions that may commit: the tables are emptied after the test."""
    yield sessionmaker(engine, expire_on_commit=False)
    empty_tables(engine)


@pytest.fixture
def session(session_factory: SessionFactory) -> Iterator[Session]:
    """One session, closed (and rolled back) before the tables are emptied."""
    with session_factory() as opened:
        yield opened
