"""Fixtures for all tests: API clients and a fixed clock."""

from contextlib import ExitStack

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from fluxori.core import clock
from fluxori.identity import tokens
from fluxori.identity.models import User
from tests.support.times import NOON


def pytest_configure(config: pytest.Config) -> None:
    from django.conf import settings

    # The production hasher takes half a second per password, which would dominate the run time of the tests.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Otherwise WhiteNoise reads all folders of static files for every new test client.
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True)
def _empty_cache():
    """Clear the cache, and with it the counters of the throttles, before every test."""
    cache.clear()


class ApiClient(APIClient):
    """An API client with a real access token. Unhandled exceptions become 500 responses, as in production."""

    def __init__(self, user: User | None = None) -> None:
        super().__init__(raise_request_exception=False)
        if user is not None:
            self.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.issue(user).access}")


@pytest.fixture
def api():
    """Return a factory of API clients: ``api(user)`` sends the user's token, ``api()`` sends none."""
    return ApiClient


@pytest.fixture
def clock_at():
    """Return a function that sets the clock to a fixed time, for the rest of the test."""
    with ExitStack() as stack:
        yield lambda at: stack.enter_context(clock.fixed(at))


@pytest.fixture
def noon(clock_at):
    """Set the clock of all entry points to ``NOON``."""
    clock_at(NOON)
