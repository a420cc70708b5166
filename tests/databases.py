"""A database of its own beside the one that the tests share."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from email_campaign.settings import Settings


@contextmanager
def another_database(settings: Settings, name: str) -> Iterator[Settings]:
    """Settings on a database of this name, with nothing in it; it is gone afterwards."""
    server = settings.database_url.replace("+psycopg", "", 1)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield settings.model_copy(
                update={"database_url": re.sub(r"/[^/?]+(?=\?|$)", f"/{name}", settings.database_url)}
            )
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
