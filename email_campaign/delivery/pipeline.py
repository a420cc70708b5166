"""Pipelines: statements that go to Postgres in one write and are answered together (its manual, 34.5).

psycopg's own pipeline does the same at six times the processor time: with it a commit cost a quarter of a millisecond
more.
"""

import select
from collections.abc import Sequence
from typing import LiteralString, NamedTuple

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

Row = tuple[bytes | None, ...]


class Statement(NamedTuple):
    """Its parameters are `$1`, `$2` …, in the form in which Postgres reads them; the SQL says their types."""

    sql: LiteralString
    values: Sequence[str] = ()


class Pipeline:
    """Runs statements on a connection in autocommit. After any error that connection must be given up."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._libpq = connection.pgconn
        self._readable, self._either = select.poll(), select.poll()
        self._readable.register(self._libpq.socket, select.POLLIN)
        self._either.register(self._libpq.socket, select.POLLIN | select.POLLOUT)
        self._names: dict[str, bytes] = {}

    def run(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """The rows of each, as text. A statement is prepared when it is met first.

        Raises psycopg.Error, among these DataError for a NUL, which libpq would take for the end of the text, and
        UnicodeEncodeError for half a character: both before anything is sent.
        """
        told = [(self._prepared(one.sql), [_encoded(value) for value in one.values]) for one in statements]
        self._libpq.enter_pipeline_mode()
        for name, values in told:
            self._libpq.send_query_prepared(name, values)
        self._libpq.pipeline_sync()
        self._flush()
        rows = self._rows()
        self._libpq.exit_pipeline_mode()
        return rows

    def _prepared(self, sql: str) -> bytes:
        if sql not in self._names:
            # With its first word, so that who reads the wire or pg_prepared_statements knows what it sees.
            name = f"{len(self._names)} {sql.split(maxsplit=1)[0]}".encode()
            answer = self._libpq.prepare(name, sql.encode())
            if answer.status != ExecStatus.COMMAND_OK:
                raise error_from_result(answer)
            self._names[sql] = name
        return self._names[sql]

    def _flush(self) -> None:
        while self._libpq.flush():
            self._either.poll()
            self._libpq.consume_input()  # who does not listen while it speaks may wait for ever

    def _rows(self) -> list[list[Row]]:
        rows: list[list[Row]] = []
        was_end = False
        while True:
            while self._libpq.is_busy():
                self._readable.poll()
                self._libpq.consume_input()
            answer = self._libpq.get_result()
            if answer is None:  # the end of one statement's answers
                if was_end:
                    raise psycopg.OperationalError("the pipeline ended before its last answer")
                was_end = True
                continue
            was_end = False
            if answer.status == ExecStatus.PIPELINE_SYNC:
                return rows
            if answer.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
                raise error_from_result(answer)
            width = range(answer.nfields)
            rows.append([tuple([answer.get_value(row, column) for column in width]) for row in range(answer.ntuples)])


def _encoded(value: str) -> bytes:
    encoded = value.encode()
    if 0 in encoded:
        raise psycopg.DataError("A text for Postgres cannot contain NUL.")
    return encoded
