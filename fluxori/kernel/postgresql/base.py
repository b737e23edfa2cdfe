"""Django's PostgreSQL backend, and statements that are sent without waiting for the answer to the last one.

A trip to PostgreSQL costs more than most statements do, and in a process of many threads the interpreter is handed over
at each. So BEGIN goes along with the first statement of a transaction, several that do not depend on each other go
together, and a write goes along with the COMMIT. To Django's own statements all that was sent before is answered first.
"""

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.db import Error
from django.db.backends.postgresql import base
from django.db.backends.utils import CursorDebugWrapper, debug_transaction
from psycopg import ClientCursor

from fluxori.kernel.postgresql.pipeline import Parameters, Pipeline, Statement


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection. Its transactions begin with their first statement, in the server's own isolation level."""

    connection: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._to_begin = False
        self._pipeline: Pipeline | None = None

    def send(self, sql: str, parameters: Parameters) -> Any:
        """Put a statement in line, and return the cursor that has its rows once :meth:`arrive` has returned.

        Whatever else is asked of the connection waits for it first, and raises what it failed with; so does the end of
        the transaction, or of the savepoint.
        """
        self.ensure_connection()
        if self._to_begin:
            self._begin()
        statement: Any = Statement(self._line(), prepare=settings.PREPARED_STATEMENTS)
        cursor = _Logged(statement, self) if self.queries_logged else self.make_cursor(statement)
        cursor.execute(sql, parameters)
        return cursor

    def push(self) -> None:
        """Let PostgreSQL begin with what stands in line."""
        with self.wrap_database_errors:
            self._line().push()

    def arrive(self) -> None:
        """Wait until all that stands in line is answered, and raise the first failure."""
        if self._pipeline is not None and not self._pipeline.is_empty:
            with self.wrap_database_errors:
                self._pipeline.wait()

    def connect(self) -> None:
        super().connect()
        self._to_begin, self._pipeline = False, None

    def create_cursor(self, name: str | None = None) -> Any:
        if self._to_begin:
            self._begin()
        self.arrive()
        if name is not None and self.in_atomic_block:
            # Django takes it from psycopg whether there is a transaction, which does not know of ours.
            return base.ServerSideCursor(self.connection, name=name, scrollable=False, withhold=False)  # type: ignore[call-arg]
        return super().create_cursor(name)

    def _line(self) -> Pipeline:
        if self._pipeline is None:
            self._pipeline = Pipeline(self.connection)
        return self._pipeline

    def _frame(self, sql: str) -> None:
        with self.wrap_database_errors:
            Statement(self._line(), prepare=settings.PREPARED_STATEMENTS).execute(sql)

    def _begin(self) -> None:
        self._to_begin = False
        self._frame("BEGIN")

    def _start_transaction_under_autocommit(self) -> None:
        # Django calls it where there is one, for backends that see to BEGIN themselves.
        with debug_transaction(self, "BEGIN"):
            self._to_begin = True

    def _commit(self) -> None:
        if self._pipeline is None or self._pipeline.is_empty:
            self._to_begin = False
            super()._commit()  # type: ignore[misc]
            return
        with debug_transaction(self, "COMMIT"):
            # Not run where something before it in line has failed.
            self._frame("COMMIT")
            self.arrive()

    def _rollback(self) -> None:
        self._give_up()
        super()._rollback()  # type: ignore[misc]

    def _savepoint_rollback(self, sid: str) -> None:
        self._give_up()
        super()._savepoint_rollback(sid)  # type: ignore[misc]

    def _close(self) -> None:
        self._give_up()
        super()._close()  # type: ignore[misc]

    def _give_up(self) -> None:
        """Forget what stands in line, whatever becomes of it: it is taken back, or the connection goes."""
        self._to_begin = False
        with suppress(Error):
            self.arrive()


class _Logged(CursorDebugWrapper):
    def execute(self, sql: Any, params: Any = None) -> Any:
        # Django would ask psycopg what it ran last.
        with self.debug_sql(ClientCursor(self.db.connection).mogrify(sql, params)):
            return super(CursorDebugWrapper, self).execute(sql, params)
