"""Fixtures for the tests of staff actions."""

from datetime import timedelta

import pytest

from fluxori.core import clock
from tests.support.admin import superuser_client
from tests.support.factories.credits import make_balance, make_user
from tests.support.times import DAY
from tiers import operations as tiers


@pytest.fixture
def client(db):
    return superuser_client()


@pytest.fixture
def balance(db):
    return make_balance(grants=[(100, None), (20, 30 * DAY)], at=clock.now())


@pytest.fixture
def subscriber(db):
    """A user with the 400 credits of forty days ago and no allocation since, so that one month is due."""
    user = make_user()
    tiers.initialize_balance(owner=user, tier="explorer", at=clock.now() - timedelta(days=40))
    return user
