"""Prepared SQL statements: fixed text, named parameters bound by PostgreSQL, rows returned by column name.

Django's cursors write parameter values into the text of a statement, so PostgreSQL parses and plans each call anew. The
statements of the ledger run thousands of times with the same text; here psycopg prepares them once for each connection.
Everything else stays Django's: the connection, error wrapping, the query log, execute wrappers and query-counting
assertions. ``PREPARED_STATEMENTS`` off binds parameters in the same way but prepares nothing, for a
connection pooler that does not follow prepared statements. See ``docs/decisions/`` for the measurements.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

import orjson
import psycopg
import psycopg.types.json
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.backends.utils import CursorDebugWrapper, CursorWrapper
from django.db.models import Model
from psycopg.rows import BaseRowFactory, dict_row, tuple_row

M = TypeVar("M", bound=Model)

Parameters = Mapping[str, Any] | Sequence[Any]
Row = dict[str, Any]

# Django reads its own JSON columns as text, so this loader serves the statements of this module only.
psycopg.types.json.set_json_loads(orjson.loads)

_INSERT = "INSERT INTO {table} SELECT r.* FROM json_populate_recordset(NULL::{table}, %(rows)s::json) AS r"


class _PreparedCursor(psycopg.Cursor[Any]):
    """A psycopg cursor that prepares every statement at its first use, unless ``PREPARED_STATEMENTS`` is off."""

    def execute(self, query: Any, params: Parameters | None = None, **options: Any) -> "_PreparedCursor":
        return super().execute(query, params, prepare=settings.PREPARED_STATEMENTS, **options)


def fetch(sql: str, parameters: Parameters) -> list[Row]:
    """Run one statement and return its rows as dictionaries by column name.

    :raises django.db.Error: as any statement that Django runs
    """
    rows: list[Row] = _run(sql, parameters, dict_row)
    return rows


def execute(sql: str, parameters: Parameters) -> None:
    """Run one statement that returns no rows.

    :raises django.db.Error: as any statement that Django runs
    """
    _run(sql, parameters, None)


def _run(sql: str, parameters: Parameters, row_factory: BaseRowFactory[Any] | None) -> Any:
    # Opening the cursor opens the connection or checks a kept one. Django's wrapper around the psycopg cursor logs,
    # wraps errors and calls execute wrappers; only the psycopg cursor inside it is exchanged. Django does not document
    # ``cursor.cursor``, ``CursorWrapper``, ``CursorDebugWrapper`` and ``debug_sql``: tests fail if one of them changes.
    with connection.cursor() as cursor:
        cursor.cursor = _PreparedCursor(connection.connection, row_factory=row_factory or tuple_row)
        if isinstance(cursor, CursorDebugWrapper):
            with cursor.debug_sql(psycopg.ClientCursor(connection.connection).mogrify(sql, parameters)):
                CursorWrapper.execute(cursor, sql, parameters)
        else:
            cursor.execute(sql, parameters)
        return cursor.fetchall() if row_factory else None


def get(model: type[M], key: Any) -> M | None:
    """Return the row with this primary key, or None."""
    return next(iter(select(model, f"{_primary_key(model)} = %s", [key])), None)


def select(model: type[M], where: str, parameters: Parameters) -> list[M]:
    """Return the rows that satisfy ``where``, which may end with ORDER BY."""
    sql, names = _select(model)
    rows = _run(f"{sql} WHERE {where}", parameters, tuple_row)
    return [model.from_db(DEFAULT_DB_ALIAS, names, row) for row in rows]


def insert(model: type[Model], rows: Sequence[Row]) -> None:
    """Insert the rows, each with every column of the table by name."""
    if rows:
        table = model._meta.db_table  # noqa: SLF001 - Django documents it
        execute(_INSERT.format(table=table), {"rows": to_json(rows)})


def to_json(rows: Sequence[Row]) -> str:
    """Serialize rows to the JSON that ``json_populate_recordset`` reads."""
    return orjson.dumps(rows, default=_serialize).decode()


def _serialize(value: Any) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(type(value).__name__)


def array(values: Iterable[UUID | str | None]) -> str:
    """Return a PostgreSQL array literal without the None values, for a parameter with a cast such as ``::uuid[]``.

    psycopg adapts Python lists too, but inspects each value several times to find a common type.
    """
    return f"{{{','.join([_quote(value) for value in values if value is not None])}}}"


def _quote(value: UUID | str) -> str:
    if isinstance(value, UUID):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@cache
def _primary_key(model: type[Model]) -> str:
    [field] = model._meta.pk_fields  # noqa: SLF001 - Django documents it
    return str(field.attname)


@cache
def _select(model: type[Model]) -> tuple[str, tuple[str, ...]]:
    meta = model._meta  # noqa: SLF001 - Django documents it
    names = tuple(field.attname for field in meta.concrete_fields)
    return f"SELECT {', '.join(names)} FROM {meta.db_table}", names  # noqa: S608 - model metadata, no user input
