"""SQL that is the same text every time, as every request runs it: parsed once for each connection, and planned once.

Django writes the values of a statement into its text, so that each is a new one to PostgreSQL, and to parse and plan it
takes longer than to run it. Here the values go beside the text. Errors, the log of queries and what tests count are
Django's own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson
import psycopg.types.json
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db.backends.signals import connection_created
from django.db.models import Model
from django.dispatch import receiver
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from fluxori.kernel.postgresql.pipeline import Parameters, Rows

M = TypeVar("M", bound=Model)
T = TypeVar("T")
U = TypeVar("U")

# Of what psycopg reads, only this SQL has columns of json: Django reads its own as text.
psycopg.types.json.set_json_loads(orjson.loads)

_INSERT = (
    "WITH written AS (INSERT INTO {table} SELECT r.* FROM json_populate_recordset(NULL::{table}, %s::json) AS r) SELECT"
)


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """One statement that reads, and what its rows say."""

    sql: str
    parameters: Parameters
    read: Callable[[Rows], T]

    def then(self, told: Callable[[T], U]) -> "Question[U]":
        """Return the same question, whose answer is what ``told`` makes of this one's."""
        return Question(self.sql, self.parameters, lambda rows: told(self.read(rows)))


def ask(question: Question[T]) -> T:
    """Return what the question's rows say. Outside a transaction it must only read."""
    [answer] = ask_all([question])
    answered: T = answer
    return answered


def ask_all(questions: Sequence[Question[Any]]) -> list[Any]:
    """Return what each question's rows say. They are sent together, and run one after another.

    Outside a transaction they must only read. There, as the first of a request, they also find out whether the
    connection kept from the last one still works, which Django would ask PostgreSQL before them: if not, they run on a
    new one.
    """
    # This thread's own, found once: Django's ``connection`` looks for it at every touch. Of its health the type stubs
    # leave out how Django keeps account.
    opened: Any = connections[DEFAULT_DB_ALIAS]
    kept = opened.connection is not None and opened.health_check_enabled and not opened.health_check_done
    if opened.in_atomic_block or not kept:
        return _answered(opened, questions)
    opened.health_check_done = True
    try:
        return _answered(opened, questions)
    except (OperationalError, InterfaceError):
        if opened.is_usable():
            raise
        opened.close()
        return _answered(opened, questions)


def _answered(opened: Any, questions: Sequence[Question[Any]]) -> list[Any]:
    cursors = [opened.send(question.sql, question.parameters) for question in questions]
    opened.arrive()
    return [question.read(cursor.fetchall()) for question, cursor in zip(questions, cursors, strict=True)]


def fetch(sql: str, parameters: Parameters) -> Rows:
    """Run one statement and return its rows, as :func:`ask` does."""
    return ask(Question(sql, parameters, lambda rows: rows))


def send(sql: str, parameters: Parameters, *, now: bool = False) -> None:
    """Send one statement that writes, and do not wait for it, inside a transaction only.

    It goes along with what is asked next, or with the commit, and is run before that; ``now``, it is run meanwhile.
    What it fails with is raised by whatever comes next on the connection, at the latest by the end of the transaction,
    or of the savepoint.
    """
    opened: Any = connections[DEFAULT_DB_ALIAS]
    assert opened.in_atomic_block
    opened.send(sql, parameters)
    if now:
        opened.push()


def get(model: type[M], key: Any) -> M | None:
    """Return the row with this primary key, or None where there is none."""
    return next(iter(select(model, f"{_key(model)} = %s", [key])), None)


def all_of(model: type[M], keys: Iterable[UUID]) -> Question[list[M]]:
    """Ask for the rows with these primary keys, in no order, those that there are."""
    return _selecting(model, f"{_key(model)} = ANY(%s::uuid[])", [array(keys)])


def select(model: type[M], where: str, parameters: Parameters) -> list[M]:
    """Return the rows of which ``where`` holds, which may end with an order."""
    return ask(_selecting(model, where, parameters))


def _selecting(model: type[M], where: str, parameters: Parameters) -> Question[list[M]]:
    sql, names = _select(model)
    return Question(
        f"{sql} WHERE {where}", parameters, lambda rows: [model.from_db(DEFAULT_DB_ALIAS, names, row) for row in rows]
    )


def insert(model: type[Model], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows, given by column name, every column of each, as :func:`send` does."""
    if rows:
        table = model._meta.db_table  # noqa: SLF001 - Django documents it
        send(_INSERT.format(table=table), [to_json(rows)])


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
