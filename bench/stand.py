"""What campaigns are measured on: the product's own embedded Postgres and Valkey, as durable as `make run` has them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.orm import sessionmaker

from email_campaign.address import address_hash
from email_campaign.audience.lists import create_list
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory, make_engine
from email_campaign.delivery.orders import derive_keys
from email_campaign.local import places, ports, postgres, valkey
from email_campaign.local.migrate import migrate
from email_campaign.local.programs import Lifeline, Process, running
from email_campaign.settings import Settings

DOMAINS = 97


@dataclass(frozen=True, slots=True)
class Stand:
    """Running services with a migrated, empty database; everything goes when the benchmark ends."""

    settings: Settings
    factory: SessionFactory
    lifeline: Lifeline
    folder: Path
    postgres: Process
    valkey: Process

    @property
    def conninfo(self) -> str:
        """The database's address for psycopg."""
        return self.settings.database_url.replace("+psycopg", "", 1)


@contextmanager
def running_stand(**update: Any) -> Iterator[Stand]:
    """The stand inside the `with`; settings come from the environment, but never from `.env`, and from `update`."""
    base = places.data_dir(Settings(_env_file=None))
    with Lifeline() as lifeline, tempfile.TemporaryDirectory(prefix="bench-", dir=base) as name:
        folder = Path(name)
        folder.chmod(0o711)  # Postgres' account must be able to walk through
        bin_dir = postgres.find_binaries(base, Settings(_env_file=None).postgres_bin_dir)
        cluster = postgres.prepare(folder / "postgres", port=ports.free_port(), bin_dir=bin_dir)
        server = valkey.prepare(folder / "valkey", port=ports.free_port())
        with (
            running(lifeline, cluster.program(), folder / "postgres.log") as postgres_process,
            running(lifeline, server.program(), folder / "valkey.log") as valkey_process,
        ):
            settings = Settings(
                _env_file=None,
                database_url=cluster.url,
                redis_url=server.url,
                secret_key=SecretStr("bench-secret-key-of-no-value"),
                **update,
            )
            migrate(settings)
            factory = sessionmaker(make_engine(settings), expire_on_commit=False)
            yield Stand(settings, factory, lifeline, folder, postgres_process, valkey_process)
            factory.kw["bind"].dispose()


def add_contacts(stand: Stand, count: int, first: int = 0) -> int:
    """A new list with so many new, confirmed contacts; its id. Numbers from `first` on must not have been used."""
    with stand.factory.begin() as session:
        list_id = create_list(session, name=f"Bench {first}-{count}", description="", now=utc_now()).id
    key = derive_keys(stand.settings).address
    with psycopg.connect(stand.conninfo) as connection, connection.cursor() as cursor:
        newest = cursor.execute("SELECT coalesce(max(id), 0) FROM contacts").fetchone()
        with cursor.copy("COPY contacts (address, address_hash, name, attributes) FROM STDIN") as copy:
            for number in range(first, first + count):
                address = f"person.{number}@domain-{number % DOMAINS}.example"
                attributes = f'{{"city": "Leipzig", "code": "{number:08x}"}}'
                copy.write_row((address, address_hash(key, address), f"Anna Muster {number}", attributes))
        cursor.execute(
            "INSERT INTO subscriptions (list_id, contact_id, state, confirmed_at) "
            "SELECT %s, id, 'confirmed', now() FROM contacts WHERE id > %s",
            (list_id, newest[0] if newest else 0),
        )
    analyse(stand)
    return list_id


def analyse(stand: Stand) -> None:
    """What autovacuum would do in a minute after so many rows came."""
    with stand.factory.kw["bind"].connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))
