"""Throw-away databases of the benchmarks, on the server in ``DATABASE_URL``.

Each has a comment that marks it, so the benchmarks never drop another database. The server must be durable: without
``fsync`` commits are faster than they can be in production.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.core.management import call_command
from django.db import connection
from psycopg import sql

# The comment on the database in the catalog.
MARK = "A throw-away database of manage.py bench"

_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class NotDurableError(Exception):
    """The server may lose commits in a crash of the machine, so its speed means nothing."""


@contextmanager
def throw_away(*, keep: bool = False) -> Iterator[str]:
    """Create a database, migrate it, use it while the block runs, and drop it unless ``keep``. Yields its name.

    :raises NotDurableError: the server's settings are not durable
    """
    with empty(keep=keep) as name, using(name):
        require_durable()
        call_command("migrate", verbosity=0, interactive=False)
        yield name


@contextmanager
def empty(*, keep: bool = False) -> Iterator[str]:
    """Create a database without tables, and drop it after the block unless ``keep``. Yields its name."""
    name = f"fluxori_bench_{token_hex(4)}"
    with _server() as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        server.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), MARK))
    try:
        yield name
    finally:
        if not keep:
            drop(name)


def drop_stale() -> None:
    """Drop the databases of killed benchmarks: those that have the mark and no connection."""
    with _server() as server:
        rows = server.execute(
            "SELECT datname FROM pg_database d WHERE shobj_description(oid, 'pg_database') = %s"
            " AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)",
            [MARK],
        ).fetchall()
    for (name,) in rows:
        # Another benchmark may connect to its database in this moment.
        with suppress(psycopg.errors.ObjectInUse, psycopg.errors.InvalidCatalogName):
            drop(name, force=False)


def drop(name: str, *, force: bool = True) -> None:
    statement = sql.SQL("DROP DATABASE {} WITH (FORCE)" if force else "DROP DATABASE {}")
    with _server() as server:
        server.execute(statement.format(sql.Identifier(name)))


@contextmanager
def using(name: str) -> Iterator[None]:
    """Use another database of the same server while the block runs, in Django and in child processes."""
    former, former_url = connection.settings_dict["NAME"], os.environ.get("DATABASE_URL", "")
    connection.close()
    connection.settings_dict["NAME"] = name
    os.environ["DATABASE_URL"] = url(name)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = former
        os.environ["DATABASE_URL"] = former_url


def url(name: str) -> str:
    """Return the URL of a database on the same server."""
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


def require_durable() -> None:
    """:raises NotDurableError: the server is not durable; the message names the settings"""
    with connection.cursor() as cursor:
        differences = []
        for name, required in _DURABLE.items():
            cursor.execute("SELECT current_setting(%s)", [name])
            (value,) = cursor.fetchone()
            if value != required:
                differences.append(f"{name} is {value}")
    if differences:
        raise NotDurableError(", ".join(differences))


def conninfo(name: str) -> str:
    """Return the libpq connection string of a database on the same server."""
    settings = connection.settings_dict
    return psycopg.conninfo.make_conninfo(
        dbname=name,
        user=settings["USER"] or None,
        password=settings["PASSWORD"] or None,
        host=settings["HOST"] or None,
        port=settings["PORT"] or None,
    )


def _server() -> "psycopg.Connection[tuple[str, ...]]":
    return psycopg.connect(conninfo("postgres"), autocommit=True)
