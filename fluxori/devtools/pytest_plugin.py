"""A pytest plugin that provides a PostgreSQL server before the settings are read.

pytest loads it through ``addopts``, because a ``conftest.py`` is imported too late. It does nothing if ``DATABASE_URL``
is set. Workers of pytest-xdist inherit the environment of the main process. Concurrent runs use different databases.
"""

import os
from collections.abc import Generator
from itertools import count

import pytest

from fluxori.devtools.embedded_postgres import EmbeddedPostgresError, is_wanted, locks, provide
from fluxori.devtools.embedded_postgres.cluster import Cluster
from fluxori.devtools.former_schema import has_former_schema


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    options = early_config.known_args_namespace
    if not (options.help or options.version):
        try:
            _provide()
        except EmbeddedPostgresError as error:
            raise pytest.UsageError(str(error)) from error
    return (yield)


def _provide() -> None:
    is_worker = bool(os.environ.get("DATABASE_URL", "").strip())
    if is_wanted():
        cluster = provide("test")
        if not is_worker:
            database = f"fluxori_{_free_number(cluster)}"
            _reject_former_schema(cluster, database)
            os.environ["DATABASE_URL"] = cluster.url(database)


def _reject_former_schema(cluster: Cluster, database: str) -> None:
    """Exit with status 1 if an earlier version of the project has left a database that this run would replace.

    Only the databases of this run's number are read: a connection would keep another run from dropping its own.
    """
    import psycopg  # noqa: PLC0415 (imported only if a server is used)

    with psycopg.connect(cluster.url("postgres")) as connection:
        pattern = f"^test_{database}(_gw[0-9]+)?$"
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname ~ %s", [pattern]).fetchall()
    for (name,) in rows:
        with psycopg.connect(cluster.url(name)) as connection, connection.cursor() as cursor:
            if has_former_schema(cursor):
                raise SystemExit(
                    f"{cluster.folder} holds databases of an earlier version. To begin again: rm -r {cluster.folder}"
                )


def _free_number(cluster: Cluster) -> int:
    """Return the lowest number that no concurrent run uses.

    The database of a killed run has a low number, so a later run replaces it.
    """
    for number in count(1):
        # The descriptor stays open until this process ends, and with it the lock.
        if locks.try_exclusive(cluster.folder / f"run-{number}.lock", cluster.account) is not None:
            return number
    raise AssertionError
