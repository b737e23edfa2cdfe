"""SQL that is the same text every time, as every request runs it: parsed once for each connection, and planned once.

Django writes the values of a statement into its text, so that each is a new one to PostgreSQL, and to parse and plan it
takes longer than to run it. Here the values go beside the text. Errors, the log of queries and what tests count are
Django's own.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Self, TypeVar
from uuid import UUID

import orjson
import psycopg
import psycopg.types.json
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db.backends.signals import connection_created
from django.db.backends.utils import CursorDebugWrapper
from django.db.models import Model
from django.dispatch import receiver
from psycopg.abc import Buffer
from psycopg.adapt import Loader

M = TypeVar("M", bound=Model)

# Of what psycopg reads, only this SQL has columns of json: Django reads its own as text.
psycopg.types.json.set_json_loads(orjson.loads)

_INSERT = (
    "WITH written AS (INSERT INTO {table} SELECT r.* FROM json_populate_recordset(NULL::{table}, %s::json) AS r) SELECT"
)


def fetch(sql: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run one statement that answers with rows, and return them. Outside a transaction it must only read.

    There, as the first of a request, it also finds out whether the connection kept from the last one still works, which
    Django would ask PostgreSQL before it: if not, it runs on a new one.
    """
    # This thread's own, found once: Django's ``connection`` looks for it at every touch. Of its health the type stubs
    # leave out how Django keeps account.
    opened: Any = connections[DEFAULT_DB_ALIAS]
    kept = opened.connection is not None and opened.health_check_enabled and not opened.health_check_done
    if opened.in_atomic_block or not kept:
        return _run(opened, sql, parameters)
    opened.health_check_done = True
    try:
        return _run(opened, sql, parameters)
    except (OperationalError, InterfaceError):
        if opened.is_usable():
            raise
        opened.close()
        return _run(opened, sql, parameters)


def _run(opened: Any, sql: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[tuple[Any, ...]]:
    opened.ensure_connection()
    prepared = _Prepared(opened.connection)
    with _Logged(prepared, opened) if opened.queries_logged else opened.make_cursor(prepared) as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def get(model: type[M], key: Any) -> M | None:
    """Return the row with this primary key, or None where there is none."""
    return next(iter(select(model, f"{_key(model)} = %s", [key])), None)


def get_all(model: type[M], keys: Iterable[UUID]) -> list[M]:
    """Return the rows with these primary keys, in no order, those that there are."""
    return select(model, f"{_key(model)} = ANY(%s::uuid[])", [array(keys)])


def select(model: type[M], where: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[M]:
    """Return the rows of which ``where`` holds, which may end with an order."""
    sql, names = _select(model)
    return [model.from_db(DEFAULT_DB_ALIAS, names, row) for row in fetch(f"{sql} WHERE {where}", parameters)]


def insert(model: type[Model], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows, given by column name, every column of each."""
    if rows:
        table = model._meta.db_table  # noqa: SLF001 - Django documents it
        fetch(_INSERT.format(table=table), [to_json(rows)])


def to_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as the JSON that PostgreSQL reads rows of a table from."""
    return orjson.dumps(rows, default=_spell).decode()


def _spell(value: Any) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(type(value).__name__)


def array(values: Iterable[UUID | str | None]) -> str:
    """Return the values the way PostgreSQL spells an array, for a parameter whose type stands beside it; no None.

    psycopg spells lists too, but looks at every value several times to find out what they are.
    """
    return f"{{{','.join([_quoted(value) for value in values if value is not None])}}}"


def _quoted(value: UUID | str) -> str:
    if isinstance(value, UUID):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@cache
def _key(model: type[Model]) -> str:
    [key] = model._meta.pk_fields  # noqa: SLF001 - Django documents it
    return str(key.attname)


@cache
def _select(model: type[Model]) -> tuple[str, tuple[str, ...]]:
    meta = model._meta  # noqa: SLF001 - Django documents it
    names = tuple(field.attname for field in meta.concrete_fields)
    return f"SELECT {', '.join(names)} FROM {meta.db_table}", names  # noqa: S608 - our own names


class _Instant(Loader):
    """Reads instants of a session in UTC, in an eighth of the time that Django's own way takes."""

    # Django puts its own in the place of one that does not say this.
    timezone = UTC

    def load(self, data: Buffer) -> datetime:
        return datetime.fromisoformat(bytes(data).decode())


@receiver(connection_created)
def _read_instants(*, connection: Any, **_: Any) -> None:
    connection.connection.adapters.register_loader("timestamptz", _Instant)


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
