"""Fixtures for the tests of ceilings and approval requests."""

import pytest

from tests.support.factories.credits import make_balance
from tests.support.staff import make_staff


@pytest.fixture
def balance(db):
    return make_balance(grants=[(120, None)])


@pytest.fixture
def support(db):
    """A member of the group support, with a ceiling of 500 credits per action and 2,000 per day."""
    return make_staff("support")


@pytest.fixture
def lead(db):
    """A member of the group support lead, with a ceiling of 5,000 credits per action and 25,000 per day."""
    return make_staff("support lead")
