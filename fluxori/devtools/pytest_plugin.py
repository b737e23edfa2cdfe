"""Gives the tests a PostgreSQL before the settings are read, which is before any ``conftest.py``.

Named in pytest's ``addopts``. With ``DATABASE_URL`` set it does nothing. The workers of xdist find in their environment
what the process that started them was given.
"""

import os
from collections.abc import Generator
from itertools import count

import pytest

from fluxori.devtools.embedded_postgres import EmbeddedPostgresError, locks, provide, wanted
from fluxori.devtools.embedded_postgres.cluster import Cluster


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    asked = early_config.known_args_namespace
    if not (asked.help or asked.version):
        try:
            _provide()
        except EmbeddedPostgresError as fault:
            raise pytest.UsageError(f"{fault}") from fault
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: starts servers and processes of its own; leave out with -m 'not slow'")


def _provide() -> None:
    is_worker = bool(os.environ.get("DATABASE_URL", "").strip())
    if wanted():
        cluster = provide("test")
        if not is_worker:
            os.environ["DATABASE_URL"] = cluster.url(f"fluxori_{_free_place(cluster)}")


def _free_place(cluster: Cluster) -> int:
    """Return a number that no other run of the tests has now, so that two at once do not share a database.

    The lowest one, so that the database a killed run left behind is found and replaced.
    """
    for place in count(1):
        # The descriptor stays open, and the place ours, until this process ends.
        if locks.exclusive(cluster.folder / f"run-{place}.lock", cluster.account) is not None:
            return place
    raise AssertionError
