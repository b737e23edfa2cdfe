"""What every test may use."""

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from fluxori.core import clock
from fluxori.identity import tokens
from fluxori.identity.models import User
from tests.support.times import NOON


def pytest_configure(config: pytest.Config) -> None:
    from django.conf import settings

    # Only here: a password that takes half a second to check would be most of the suite.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _fresh_throttles():
    """Let every test begin with nobody counted."""
    cache.clear()


class ApiClient(APIClient):
    """Calls the API over the whole stack, with a real token, in JSON. Faults are answered, not raised."""

    def __init__(self, user: User | None = None) -> None:
        super().__init__(raise_request_exception=False)
        if user is not None:
            self.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.issue(user).access}")


@pytest.fixture
def api():
    """Return a maker of clients: ``api(user).get("/api/me")``; ``api()`` calls without a token."""
    return ApiClient


@pytest.fixture
def clock_at(monkeypatch):
    """Return a function that stops the doors' clock at an instant."""
    return lambda at: monkeypatch.setattr(clock, "now", lambda: at)


@pytest.fixture
def noon(clock_at):
    """Stop the doors' clock at noon of the day that tests happen on."""
    clock_at(NOON)
