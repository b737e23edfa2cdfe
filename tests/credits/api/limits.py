"""Requests and responses of spending limits."""

from typing import Any

from fluxori.identity.models import Organization, User
from tests.support.factories.identity import MembershipFactory

LIMITS = "/api/credits/limits"
DAILY = {"period": "day", "amount": 100}
MIDNIGHT = "2025-03-04T00:00:00Z"
APRIL = "2025-04-01T00:00:00Z"


def make_member(pool: Organization, role: str = "member") -> User:
    """Return a new member of the pool."""
    return MembershipFactory.create(organization=pool, role=role).user


def pool_limit(pool: Organization, **payload: Any) -> dict[str, Any]:
    """Return the body of a daily limit of the pool."""
    return {**DAILY, "organizationId": str(pool.pk), **payload}


def results(response: Any) -> Any:
    """Return the results of a list."""
    return response.json()["results"]


def status_and_code(response: Any) -> tuple[int, str]:
    """Return the HTTP status and the code of a problem."""
    return response.status_code, response.json()["code"]
