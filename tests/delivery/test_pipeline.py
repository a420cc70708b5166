"""Pipelines: rows of each statement, and every way to fail is an error and no waiting for ever."""

from collections.abc import Iterator

import psycopg
import pytest

from email_campaign.delivery.pipeline import Pipeline, Statement
from email_campaign.settings import Settings


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection]:
    """A connection in autocommit, as the recorder has it."""
    connection = psycopg.connect(settings.database_url.replace("+psycopg", "", 1), autocommit=True)
    yield connection
    connection.close()


def test_the_rows_of_each_statement_come_in_order_and_one_that_is_known_is_not_prepared_again(
    connection: psycopg.Connection,
) -> None:
    pipeline = Pipeline(connection)
    both = [
        Statement("SELECT n, NULL FROM generate_series(1, $1::int) n", ["2"]),
        Statement("BEGIN"),
        Statement("SELECT $1::text", ["ü"]),
        Statement("COMMIT"),
    ]
    expected = [[(b"1", None), (b"2", None)], [], [("ü".encode(),)], []]
    assert [pipeline.run(both), pipeline.run(both)] == [expected] * 2
    assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (4,)


def test_more_than_the_sockets_hold_goes_through_in_both_directions(connection: psycopg.Connection) -> None:
    long = "x" * 8_000_000
    echo = Statement("SELECT $1::text", [long])
    assert [len(rows[0][0] or b"") for rows in Pipeline(connection).run([echo, echo])] == [8_000_000] * 2


def test_an_error_is_the_one_of_the_statement_that_failed(connection: psycopg.Connection) -> None:
    failing = Statement("SELECT 1 / $1::int", ["0"])
    with pytest.raises(psycopg.errors.DivisionByZero):
        Pipeline(connection).run([Statement("BEGIN"), failing, Statement("COMMIT")])


def test_a_statement_that_cannot_be_prepared_is_an_error(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        Pipeline(connection).run([Statement("SELECT FROM nothing_of_that_name")])


@pytest.mark.parametrize(("text", "error"), [("a\0b", psycopg.DataError), ("\ud800", UnicodeEncodeError)])
def test_a_text_that_postgres_cannot_hold_is_refused_and_not_cut(
    connection: psycopg.Connection, text: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Pipeline(connection).run([Statement("SELECT $1::text", [text])])


def test_a_connection_that_ends_meanwhile_is_an_error(connection: psycopg.Connection) -> None:
    pipeline = Pipeline(connection)
    with pytest.raises(psycopg.Error):
        pipeline.run([Statement("SELECT pg_terminate_backend(pg_backend_pid())"), Statement("SELECT 1")])
