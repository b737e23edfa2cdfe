"""Databases that the bench makes for itself, on the server that ``DATABASE_URL`` names: durable, marked, dropped."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.core.management import call_command
from django.db import connection
from psycopg import sql

# Said of a database in the catalogue, so that none is ever taken for ours that somebody else made.
MARK = "A throw-away database of manage.py bench"

_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class NotDurable(Exception):
    """The server would forget commits when the machine stops; nothing measured on it would mean anything."""


@contextmanager
def throw_away(*, keep: bool = False) -> Iterator[str]:
    """Make an empty database with all migrations, use it while the block runs, and drop it; yields its name.

    :raises NotDurable: if the server's settings are not durable
    """
    name = f"fluxori_bench_{token_hex(4)}"
    with _server() as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        server.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), MARK))
    try:
        with using(name):
            require_durable()
            call_command("migrate", verbosity=0, interactive=False)
            yield name
    finally:
        if not keep:
            drop(name)


def drop_left_overs() -> None:
    """Drop what a bench that was killed has left behind: marked databases that nobody is connected to."""
    with _server() as server:
        left = server.execute(
            "SELECT datname FROM pg_database d WHERE shobj_description(oid, 'pg_database') = %s"
            " AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)",
            [MARK],
        ).fetchall()
    for (name,) in left:
        # Another bench may connect to its own just now.
        with suppress(psycopg.errors.ObjectInUse, psycopg.errors.InvalidCatalogName):
            drop(name, force=False)


def drop(name: str, *, force: bool = True) -> None:
    how = sql.SQL("DROP DATABASE {} WITH (FORCE)" if force else "DROP DATABASE {}")
    with _server() as server:
        server.execute(how.format(sql.Identifier(name)))


@contextmanager
def using(name: str) -> Iterator[None]:
    """Let Django's connection, and the processes started meanwhile, use another database of the same server."""
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
    """Return where a database of the same server is."""
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


def require_durable() -> None:
    """:raises NotDurable: naming what is not as it must be"""
    with connection.cursor() as cursor:
        wrong = []
        for name, wanted in _DURABLE.items():
            cursor.execute("SELECT current_setting(%s)", [name])
            (found,) = cursor.fetchone()
            if found != wanted:
                wrong.append(f"{name} is {found}")
    if wrong:
        raise NotDurable(", ".join(wrong))


def conninfo(name: str) -> str:
    """Return the same place for programs of PostgreSQL."""
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
