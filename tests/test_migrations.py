"""The migrations: one line of history, down and up again, and the models' own schema at its end."""

from collections.abc import Callable, Iterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text

from email_campaign.db import Base
from email_campaign.local.migrate import migrate
from email_campaign.local.places import CHECKOUT
from email_campaign.settings import Settings
from tests.databases import another_database

RULE = "A migration must work with the previous release still running"
NAME = "migrations_test"


@pytest.fixture
def empty(settings: Settings) -> Iterator[Settings]:
    """Settings on a database of its own, with nothing in it."""
    with another_database(settings, NAME) as made:
        yield made


@pytest.fixture
def database(empty: Settings) -> Iterator[Engine]:
    """An engine on that database."""
    made = create_engine(empty.database_url)
    yield made
    made.dispose()


def to(revision: str, move: Callable[[Config, str], None], settings: Settings) -> None:
    config = Config(str(CHECKOUT / "alembic.ini"))
    config.attributes["url"] = settings.database_url
    move(config, revision)


def script() -> ScriptDirectory:
    return ScriptDirectory.from_config(Config(str(CHECKOUT / "alembic.ini")))


def schema(engine: Engine) -> dict[str, object]:
    """Every column, index and constraint, table by table."""
    seen = inspect(engine)
    return {
        table: (
            [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in seen.get_columns(table)],
            sorted(str(index) for index in seen.get_indexes(table)),
            sorted(str(key) for key in seen.get_foreign_keys(table)),
            seen.get_pk_constraint(table),
        )
        for table in sorted(seen.get_table_names())
    }


def test_there_is_one_head() -> None:
    assert len(script().get_heads()) == 1


def test_up_down_and_up_again_ends_where_it_began(empty: Settings, database: Engine) -> None:
    migrate(empty)
    first = schema(database)
    assert {"mailings", "deliveries", "attempts"} <= set(first)
    to("base", command.downgrade, empty)
    assert set(schema(database)) == {"alembic_version"}
    migrate(empty)
    assert schema(database) == first


def test_migrating_twice_changes_nothing(empty: Settings, database: Engine) -> None:
    migrate(empty)
    first = schema(database)
    migrate(empty)
    assert schema(database) == first
    with database.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM relays")) == 1


def test_the_models_match_the_migrated_schema(empty: Settings, database: Engine) -> None:
    migrate(empty)
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_template_and_every_migration_carry_the_safety_rule() -> None:
    assert RULE in (CHECKOUT / "migrations" / "script.py.mako").read_text()
    revisions = list(script().walk_revisions())
    assert revisions
    for revision in revisions:
        assert RULE in revision.longdoc, revision.path
