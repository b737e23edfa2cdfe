"""Statements sent over a connection without waiting, by libpq's pipeline mode.

psycopg has a pipeline of its own. It asks the operating system several times for each statement whether it may send,
and each time gives the interpreter away; here that happens once, for the answer to all of them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

Parameters = Mapping[str, Any] | Sequence[Any]
Rows = list[tuple[Any, ...]]

_PLACE = re.compile(r"%(?:\((\w+)\)s|s|%)")
_DONE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)
_NO_SUCH_STATEMENT = "26000"

# Of the whole process: a session may outlast what we know of it, where a pool keeps it.
_numbers = count()


class Pipeline:
    """One connection's statements that were not answered yet, and those that it has prepared.

    ``wait`` is the connection's own way to wait for what a generator of psycopg's asks for.
    """

    def __init__(self, connection: "psycopg.Connection[Any]", wait: Callable[[PQGen[Any]], Any]) -> None:
        self._connection = connection
        self._wait = wait
        self._libpq = connection.pgconn
        self._adapt = Transformer(connection)
        self._prepared: dict[bytes, bytes] = {}
        self._awaited: list[Statement] = []

    @property
    def is_empty(self) -> bool:
        return not self._awaited

    def send(self, sql: bytes, values: Sequence[bytes | None], statement: "Statement", *, prepare: bool) -> None:
        """Put a statement in line; it is answered when :meth:`wait` returns. One that is prepared is parsed once."""
        if not self._awaited:
            self._libpq.enter_pipeline_mode()
        if not prepare:
            self._libpq.send_query_params(sql, values)
        else:
            name = self._prepared.get(sql)
            if name is None:
                name = self._prepared[sql] = b"fixed_%d" % next(_numbers)
                self._libpq.send_prepare(name, sql)
                self._awaited.append(Statement(self, failed=lambda _: self.forget(sql)))
            self._libpq.send_query_prepared(name, values)
        self._awaited.append(statement)

    def forget(self, sql: bytes) -> None:
        """Prepare a statement anew the next time."""
        self._prepared.pop(sql, None)

    def push(self) -> None:
        """Hand what stands in line to PostgreSQL, as far as it goes without waiting."""
        self._libpq.flush()

    def wait(self) -> None:
        """Return when all have been answered.

        Whoever is interrupted in it loses the connection: what was sent may have happened.

        :raises psycopg.Error: the first failure; those after it were not run
        """
        awaited, self._awaited = self._awaited, []
        try:
            self._libpq.pipeline_sync()
            answers = self._wait(_answers(self._libpq))
            self._libpq.exit_pipeline_mode()
        except BaseException:
            self._libpq.finish()
            raise
        failure = None
        # One answer more is what was found out at their end, like a key that was to be checked last.
        for statement, answer in zip([*awaited, Statement(self)], answers, strict=False):
            if answer.status in _DONE:
                statement.answer = answer
                continue
            fault = error_from_result(answer, encoding=self._connection.info.encoding)
            statement.failed(fault)
            failure = failure or fault
        if failure is not None:
            raise failure

    def rows(self, answer: PGresult) -> Rows:
        self._adapt.set_pgresult(answer)
        rows: Rows = self._adapt.load_rows(0, answer.ntuples, tuple)
        return rows


def _answers(libpq: PGconn) -> PQGen[list[PGresult]]:
    yield from generators.send(libpq)
    answers: list[PGresult] = []
    while True:
        found = yield from generators.fetch_many(libpq)
        if not found:
            raise psycopg.OperationalError("The connection was lost.")
        if found[0].status == ExecStatus.PIPELINE_SYNC:
            return answers
        answers.append(found[0])


def _nothing(_: psycopg.Error) -> None:
    pass


class Statement:
    """A statement in a pipeline, with as much of a cursor as Django's wrappers of cursors need."""

    def __init__(
        self, pipeline: Pipeline, *, prepare: bool = False, failed: Callable[[psycopg.Error], None] = _nothing
    ) -> None:
        self._pipeline = pipeline
        self._prepare = prepare
        self._failed = failed
        self._text = b""
        self.answer: PGresult | None = None

    def execute(self, sql: str, parameters: Parameters | None = None) -> None:
        self._text, names = numbered(sql)
        given = parameters or ()
        values = [given[name] for name in names] if isinstance(given, Mapping) else given
        self._pipeline.send(self._text, [_spelled(value) for value in values], self, prepare=self._prepare)

    def failed(self, fault: psycopg.Error) -> None:
        """Take note that it failed, or was not run because of one before it."""
        if fault.sqlstate == _NO_SUCH_STATEMENT:
            self._pipeline.forget(self._text)
        self._failed(fault)

    def fetchall(self) -> Rows:
        """Return the rows of its answer, once that has come."""
        assert self.answer is not None
        return self._pipeline.rows(self.answer)


@cache
def numbered(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """Return SQL with its places as PostgreSQL numbers them, and the name of each, where they have names.

    >>> numbered("SELECT %(a)s, %(b)s, %(a)s, 5 %% 2")
    (b'SELECT $1, $2, $1, 5 % 2', ('a', 'b'))
    """
    names: list[str] = []
    places = count(1)

    def number(place: re.Match[str]) -> str:
        name = place[1]
        if place[0] == "%%":
            return "%"
        if name is None:
            return f"${next(places)}"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PLACE.sub(number, sql).encode(), tuple(names)


def _spelled(value: Any) -> bytes | None:
    """Return a value as PostgreSQL reads it, which finds its type where it stands in the statement."""
    match value:
        case None:
            return None
        case str():
            text = value
        case datetime():
            text = value.isoformat()
        case int() | UUID():
            text = str(value)
        case _:
            raise TypeError(f"{type(value).__name__} has no spelling")
    if "\0" in text:
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return text.encode()
