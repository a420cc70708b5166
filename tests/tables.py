"""Empties the tables between tests."""

from collections.abc import Collection

from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError


def empty_tables(engine: Engine, but: Collection[str] = ()) -> None:
    """Leave the database as the migrations made it, `but` for these tables; then numbers go on where they were.

    The server may still be at the last statement of a connection that a test cut: then it is tried again.
    """
    for last in (False, False, False, True):
        try:
            _empty(engine, but)
        except OperationalError:
            if last:
                raise
        else:
            return


def _empty(engine: Engine, but: Collection[str]) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("SET LOCAL lock_timeout = '5s'")
        )  # a session that a test left open is named, not waited for
        tables = connection.scalars(
            text(
                "SELECT quote_ident(tablename) FROM pg_tables "
                "WHERE schemaname = 'public' AND tablename <> 'alembic_version' AND tablename <> ALL (:but)"
            ),
            {"but": list(but)},
        ).all()
        if not tables:
            return
        looks = " UNION ALL ".join(f"(SELECT '{table}' FROM {table} LIMIT 1)" for table in tables)
        if filled := connection.scalars(text(looks)).all():
            connection.execute(
                text(f"TRUNCATE {', '.join(filled)} {'CONTINUE' if but else 'RESTART'} IDENTITY CASCADE")
            )
        # The one row that the first migration lays down.
        connection.execute(text("INSERT INTO relays (name) SELECT 'relay' WHERE NOT EXISTS (SELECT FROM relays)"))
