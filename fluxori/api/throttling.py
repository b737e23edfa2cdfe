"""Rate limits: requests a minute, by scope. They protect the service; they are not spending limits.

Requests are counted in fixed windows of one minute in the default cache, with one counter for each caller and window.
"""

import hashlib
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, Literal

import structlog
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from fluxori.core import clock
from fluxori.identity.emails import MAX_EMAIL, email_for_lookup
from fluxori.identity.models import User

WINDOW = 60

Scope = Literal["user", "service", "anonymous", "login"]

logger = structlog.get_logger("fluxori.api")


class _WindowThrottle(BaseThrottle):
    """Counts requests by the scope and key that ``counter_key`` returns; None means that a request is not counted."""

    _seconds_left = 0.0

    def counter_key(self, request: Request) -> tuple[Scope, str] | None:
        raise NotImplementedError

    def allow_request(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - the framework's signature
        counter = self.counter_key(request)
        if counter is None:
            return True
        scope, name = counter
        window, elapsed = divmod(clock.now().timestamp(), WINDOW)
        self._seconds_left = WINDOW - elapsed
        return _count(f"throttle:{scope}:{name}:{int(window)}") <= settings.THROTTLES[scope]

    def wait(self) -> float:
        return self._seconds_left


class CallerThrottle(_WindowThrottle):
    """Counts authenticated requests by user, at the rate of the user's role, and anonymous ones by IP address."""

    def counter_key(self, request: Request) -> tuple[Scope, str]:
        caller = request.user
        if isinstance(caller, User):
            return ("service" if caller.role == User.Role.SERVICE else "user"), str(caller.pk)
        return "anonymous", address_of(request)


class LoginThrottle(_WindowThrottle):
    """Counts logins by account, whatever the IP address, so that guessing one password is slow."""

    def counter_key(self, request: Request) -> tuple[Scope, str] | None:
        body: Any = request.data
        email = body.get("email")
        if not isinstance(email, str):
            return None
        return "login", hashlib.sha256(email_for_lookup(email[:MAX_EMAIL]).encode("utf-8", "replace")).hexdigest()


def address_of(request: Request | HttpRequest) -> str:
    """Return the IP address that counters use: of IPv6 the /64 network, all of which one client has.

    Only the entries that the configured number of proxies added are trusted.
    """
    address = _client_address(request)
    try:
        parsed = ip_address(address.partition("%")[0].strip("[]"))
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, 64), strict=False))


def _client_address(request: Request | HttpRequest) -> str:
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    proxies: int = settings.PROXIES
    if proxies and len(forwarded) >= proxies and forwarded[-proxies].strip():
        return str(forwarded[-proxies].strip()[:64])
    return str(request.META.get("REMOTE_ADDR", ""))


def _count(key: str) -> int:
    """Increment a counter and return its value, or 0 if the cache cannot be reached: then requests are not limited."""
    try:
        if cache.add(key, 1, timeout=2 * WINDOW):
            return 1
        return cache.incr(key)
    except ValueError:  # the counter expired between add and incr
        return 1
    except RedisError as error:
        logger.warning("throttle_unavailable", cause=repr(error))
        return 0
