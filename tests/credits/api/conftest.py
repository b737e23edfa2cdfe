import pytest

from tests.support.factories.credits import make_balance
from tests.support.factories.identity import AdminFactory, OrganizationFactory, UserFactory
from tiers.operations import initialize_balance


@pytest.fixture
def admin(api):
    """The client of an admin."""
    return api(AdminFactory.create())


@pytest.fixture
def subscriber(db):
    """A user with a subscription to the tier explorer."""
    user = UserFactory.create()
    initialize_balance(owner=user, tier="explorer")
    return user


@pytest.fixture
def user(db):
    """A user with 1000 credits."""
    user = UserFactory.create()
    make_balance(user, [(1000, None)])
    return user


@pytest.fixture
def pool(db):
    """An organization with 1000 credits."""
    pool = OrganizationFactory.create()
    make_balance(pool, [(1000, None)])
    return pool
