"""The test database, the markers of sets of tests and the command-line options of the tests.

Tests marked ``slow``, ``browser`` or ``drill`` run only with the option of that name. All others run without an option.
Every test starts with the rows that the migrations wrote (see ``tests/support/database.py``).
"""

import gc
import os
from collections.abc import Iterator
from contextlib import ExitStack
from unittest.mock import patch

import pytest
from django.test import TransactionTestCase
from hypothesis import settings
from pytest_django import DjangoDbBlocker

from fluxori.devtools.demo.server import GRANIAN, SERVERS
from tests.support.database import restore_migrated_rows, restricted_role, save_migrated_rows

# The markers that are also options, with what they mean. No test has two of them.
SETS = {
    "slow": "slow by nature: servers, processes, environments, every page in every role",
    "browser": "needs Chromium",
    "drill": "a drill of an emergency that takes minutes",
}

# How many examples a property test draws: few in the default run, many with ``--hypothesis-profile thorough``.
settings.register_profile("few", max_examples=20, deadline=None)
settings.register_profile("thorough", max_examples=60, deadline=None)
settings.load_profile("few")


def pytest_addoption(parser: pytest.Parser) -> None:
    project = parser.getgroup("fluxori")
    for name in SETS:
        project.addoption(f"--{name}", action="store_true", help=f"Run the tests marked {name}, and only those.")
    project.addoption(
        "--restricted-role",
        action="store_true",
        help="Run the tests with the database privileges of the application, instead of those of the owner.",
    )
    project.addoption(
        "--server", choices=SERVERS, default=GRANIAN, help="The HTTP server of tests that start one. Default: granian."
    )
    project.addoption("--model-steps", type=int, default=500, help="Number of random steps in tests/model.")
    project.addoption("--model-seed", type=int, default=1, help="Seed of tests/model: one seed, one sequence of steps.")


def pytest_configure(config: pytest.Config) -> None:
    os.environ["HTTP_SERVER"] = config.getoption("--server")
    for name, meaning in SETS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}; runs with --{name}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = {name for name in SETS if config.getoption(f"--{name}")}
    wanted: list[pytest.Item] = []
    deselected: list[pytest.Item] = []
    for item in items:
        marks = {name for name in SETS if item.get_closest_marker(name)}
        (wanted if (marks & chosen if chosen else not marks) else deselected).append(item)
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = wanted


def pytest_collection_finish() -> None:
    """Keep what was imported and collected out of garbage collection: it lives as long as the tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest,
    django_db_setup: None,  # noqa: ARG001 - pytest-django creates the database
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[None]:
    with django_db_blocker.unblock():
        save_migrated_rows()
    with ExitStack() as stack:
        stack.enter_context(patch.object(TransactionTestCase, "_fixture_teardown", restore_migrated_rows))
        if request.config.getoption("--restricted-role"):
            stack.enter_context(restricted_role(django_db_blocker.unblock))
        yield
