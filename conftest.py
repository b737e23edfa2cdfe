"""The test database, and the command-line options of the tests."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from django.test import TransactionTestCase
from pytest_django import DjangoDbBlocker

from tests.support.database import restore_migrated_rows, save_migrated_rows


def pytest_addoption(parser: pytest.Parser) -> None:
    model = parser.getgroup("the model of a balance", "see tests/model")
    model.addoption("--model-steps", type=int, default=500, help="How many steps the ledger and its model take.")
    model.addoption("--model-seed", type=int, default=1, help="Where they begin: the same seed, the same steps.")


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None,  # noqa: ARG001 - the database has to be there first
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[None]:
    with django_db_blocker.unblock():
        save_migrated_rows()
    with patch.object(TransactionTestCase, "_fixture_teardown", restore_migrated_rows):
        yield
