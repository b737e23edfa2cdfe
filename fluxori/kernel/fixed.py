"""SQL that is the same text every time, as every request runs it: parsed once for each connection, and planned once.

Django writes the values of a statement into its text, so that each is a new one to PostgreSQL, and to parse and plan it
takes longer than to run it. Here the values go beside the text. Errors, the log of queries and what tests count are
Django's own.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import psycopg
from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorDebugWrapper


def fetch(sql: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run one statement that answers with rows, and return them."""
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    prepared: Any = _Prepared(connection.connection)
    with _Logged(prepared, connection) if connection.queries_logged else connection.make_cursor(prepared) as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


class _Prepared(psycopg.Cursor[Any]):
    def execute(self, query: Any, params: Any = None, **_: Any) -> Self:
        if not settings.PREPARED_STATEMENTS:
            return super().execute(query, params)
        # For this statement only: while there is a threshold, psycopg remembers the text of every other one too, with
        # all the values that Django has written into it.
        self.connection.prepare_threshold = 0
        try:
            return super().execute(query, params, prepare=True)
        finally:
            self.connection.prepare_threshold = None


class _Logged(CursorDebugWrapper):
    def execute(self, sql: Any, params: Any = None) -> Any:
        # Django would ask psycopg what it ran last, and of what it has prepared psycopg cannot tell.
        with self.debug_sql(self.db.ops.compose_sql(sql, params)):
            return super(CursorDebugWrapper, self).execute(sql, params)
