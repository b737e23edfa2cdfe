"""Django's PostgreSQL backend, and statements that are sent without waiting for the answer to the last one.

A trip to PostgreSQL costs more than most statements do, and in a process of many threads the interpreter is handed over
at each. So BEGIN goes along with the first statement of a transaction, several that do not depend on each other go
together, and a write goes along with the COMMIT. To Django's own statements all that was sent before is answered first.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from django.conf import settings
from django.db import DatabaseError, Error, InternalError
from django.db.backends.postgresql import base
from django.db.backends.utils import CursorDebugWrapper, debug_transaction
from psycopg import ClientCursor
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from fluxori.kernel.postgresql.pipeline import Parameters, Pipeline, Statement


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection. Its transactions begin with their first statement, as psycopg's do."""

    connection: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._to_begin = False
        self._pipeline: Pipeline | None = None

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        opened = super().get_new_connection(conn_params)
        waits = opened.wait

        def wait(asked: PQGen[Any], *args: Any, **kwargs: Any) -> Any:
            # All that psycopg does on a connection comes through here, whoever asks for it, and however.
            if self.connection is opened:
                if self._to_begin:
                    self._begin()
                self.arrive()
            return waits(asked, *args, **kwargs)

        opened.wait = wait
        self._to_begin, self._pipeline = False, Pipeline(opened, waits)
        return opened

    def send(self, sql: str, parameters: Parameters) -> Any:
        """Put a statement in line, and return the cursor that has its rows once :meth:`arrive` has returned.

        Whatever else is asked of the connection waits for it first, and raises what it failed with; so does the end of
        the transaction, or of the savepoint.
        """
        self.validate_thread_sharing()
        self.ensure_connection()
        # Where Django's autocommit is off, psycopg would begin, too, if the statement were its own.
        by_hand = not self.connection.autocommit and self._is_clear and self._stands(TransactionStatus.IDLE)
        if self._to_begin or by_hand:
            self._begin()
        statement: Any = Statement(self._line, prepare=settings.PREPARED_STATEMENTS)
        cursor = _Logged(statement, self) if self.queries_logged else self.make_cursor(statement)
        try:
            cursor.execute(sql, parameters)
        except BaseException:
            if not self.in_atomic_block:
                # There is no end of a transaction to look after those that were sent before it.
                self._give_up()
            raise
        return cursor

    def push(self) -> None:
        """Let PostgreSQL begin with what stands in line."""
        with self.wrap_database_errors:
            self._line.push()

    def arrive(self) -> None:
        """Wait until all that stands in line is answered, and raise the first failure."""
        if not self._is_clear:
            with self.wrap_database_errors:
                self._line.wait()

    def create_cursor(self, name: str | None = None) -> Any:
        self.arrive()
        if name is not None and self.in_atomic_block:
            # Django takes it from psycopg whether there is a transaction, which does not know of ours.
            return base.ServerSideCursor(self.connection, name=name, scrollable=False, withhold=False)  # type: ignore[call-arg]
        return super().create_cursor(name)

    @property
    def _line(self) -> Pipeline:
        assert self._pipeline is not None
        return self._pipeline

    @property
    def _is_clear(self) -> bool:
        return self._pipeline is None or self._pipeline.is_empty

    def _begin(self) -> None:
        self._to_begin = False
        level = self.connection.isolation_level
        self._frame(f"BEGIN ISOLATION LEVEL {level.name.replace('_', ' ')}" if level else "BEGIN", self._not_begun)

    def _not_begun(self, _: psycopg.Error) -> None:
        self._to_begin = True

    def _stands(self, status: TransactionStatus) -> bool:
        return bool(self.connection.pgconn.transaction_status == status)

    def _frame(self, sql: str, failed: Callable[[psycopg.Error], None]) -> None:
        with self.wrap_database_errors:
            Statement(self._line, failed=failed).execute(sql)

    def _start_transaction_under_autocommit(self) -> None:
        # Django calls it where there is one, for backends that see to BEGIN themselves.
        with debug_transaction(self, "BEGIN"):
            self._to_begin = True

    def _commit(self) -> None:
        self._to_begin = False
        with self._or_closed():
            if self._is_clear:
                if self.connection is not None and self._stands(TransactionStatus.INERROR):
                    # PostgreSQL would roll it back, and not complain.
                    raise InternalError("A statement of the transaction has failed, so there is nothing to commit.")
                super()._commit()  # type: ignore[misc]
                return
            with debug_transaction(self, "COMMIT"):
                # Not run where something before it in line has failed.
                self._frame("COMMIT", lambda _: None)
                self.arrive()

    def _rollback(self) -> None:
        with self._or_closed():
            self._give_up()
            super()._rollback()  # type: ignore[misc]

    @contextmanager
    def _or_closed(self) -> Iterator[None]:
        """Close the connection where the end of a transaction is interrupted: nobody can go on with it."""
        try:
            yield
        except DatabaseError:
            raise
        except BaseException:
            with suppress(Error):
                self.close()
            raise

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
