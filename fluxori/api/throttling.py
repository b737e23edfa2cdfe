"""How many requests a minute, by scope. Throttles protect the service, never a balance.

Counted in fixed windows in the default cache: one number for each caller and minute, however high the limit is.
"""

import hashlib
from typing import Any, Literal

import structlog
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from fluxori.core import clock
from fluxori.identity.models import User

WINDOW = 60

Scope = Literal["user", "service", "anonymous", "login"]

logger = structlog.get_logger("fluxori.api")


class _WindowThrottle(BaseThrottle):
    """Counts the requests of whoever ``counted`` names; nobody named is nobody counted."""

    _seconds_left = 0.0

    def counted(self, request: Request) -> tuple[Scope, str] | None:
        raise NotImplementedError

    def allow_request(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - the framework's signature
        found = self.counted(request)
        if found is None:
            return True
        scope, name = found
        window, elapsed = divmod(clock.now().timestamp(), WINDOW)
        self._seconds_left = WINDOW - elapsed
        return _count(f"throttle:{scope}:{name}:{int(window)}") <= settings.THROTTLES[scope]

    def wait(self) -> float:
        return self._seconds_left


class CallerThrottle(_WindowThrottle):
    """Each user by their id, at the rate of their role; whoever is not logged in by their address."""

    def counted(self, request: Request) -> tuple[Scope, str]:
        caller = request.user
        if isinstance(caller, User):
            return ("service" if caller.role == User.Role.SERVICE else "user"), str(caller.pk)
        return "anonymous", address_of(request)


class LoginThrottle(_WindowThrottle):
    """Each account that is logged in to, from wherever: guesses at one password are few, whole offices may log in."""

    def counted(self, request: Request) -> tuple[Scope, str] | None:
        body: Any = request.data
        email = body.get("email")
        if not isinstance(email, str):
            return None
        return "login", hashlib.sha256(email.lower().encode("utf-8", "replace")).hexdigest()


def address_of(request: Request | HttpRequest) -> str:
    """Return the address the request came from, seen through the configured number of proxies and no more."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    proxies: int = settings.PROXIES
    if proxies and len(forwarded) >= proxies and forwarded[-proxies].strip():
        return str(forwarded[-proxies].strip()[:64])
    return str(request.META.get("REMOTE_ADDR", ""))


def _count(key: str) -> int:
    """Count one more and return how many; 0 when the cache cannot be reached, for better unprotected than down."""
    try:
        if cache.add(key, 1, timeout=2 * WINDOW):
            return 1
        return cache.incr(key)
    except ValueError:  # it ran out between the two
        return 1
    except RedisError:
        logger.warning("throttle_unavailable", exc_info=True)
        return 0
