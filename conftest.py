"""The test database, the marker ``slow`` and the command-line options of the tests.

Tests marked ``slow`` run only with ``--slow``; with ``--slow`` nothing else runs. Every test starts with the rows that
the migrations wrote (see ``tests/support/database.py``).
"""

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from django.test import TransactionTestCase
from pytest_django import DjangoDbBlocker

from tests.support.database import restore_migrated_rows, save_migrated_rows


def pytest_addoption(parser: pytest.Parser) -> None:
    project = parser.getgroup("fluxori")
    project.addoption("--slow", action="store_true", help="Run the tests marked slow, and only those.")
    project.addoption("--model-steps", type=int, default=500, help="Number of random steps in tests/model.")
    project.addoption("--model-seed", type=int, default=1, help="Seed of tests/model: one seed, one sequence of steps.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: slow by nature (servers, processes, environments); runs with --slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted: list[pytest.Item] = []
    deselected: list[pytest.Item] = []
    for item in items:
        is_slow = item.get_closest_marker("slow") is not None
        (wanted if is_slow is config.getoption("--slow") else deselected).append(item)
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = wanted


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None,  # noqa: ARG001 - pytest-django creates the database
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[None]:
    with django_db_blocker.unblock():
        save_migrated_rows()
    with patch.object(TransactionTestCase, "_fixture_teardown", restore_migrated_rows):
        yield
