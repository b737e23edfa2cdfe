"""The lock after repeated wrong passwords, of the API and of the admin: per account and address, and per address.

Attempts are counted in the database before the password is checked, so that concurrent attempts count too, in however
many processes they run.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import ceil

from django.conf import settings
from django.db import connection
from django.db.models import F

from fluxori.identity.emails import email_for_lookup
from fluxori.identity.errors import LoginBusyError, LoginLockedError
from fluxori.identity.models import LoginFailures

# Many people may share an address, so the limit per address is this many times the limit per account.
ADDRESS_FACTOR = 10

_COUNT = """
INSERT INTO identity_loginfailures AS known (name, failures, last_at) VALUES (%(name)s, 1, %(at)s)
ON CONFLICT (name) DO UPDATE SET
    failures = CASE WHEN known.last_at <= %(since)s THEN 1 ELSE LEAST(known.failures + 1, %(limit)s + 1) END,
    last_at = CASE WHEN known.last_at <= %(since)s OR known.failures < %(limit)s THEN %(at)s ELSE known.last_at END
RETURNING failures, last_at
"""


@contextmanager
def counted_attempt(*, email: str, address: str, at: datetime) -> Iterator[None]:
    """Count an attempt to give the password of an account. An error in the block is a failed attempt.

    Without an ``address``, the caller is code in this process, and only the account is counted.

    :raises LoginLockedError: too many recent attempts failed; the block is not run
    """
    limit = settings.LOGIN_FAILURES
    limits = {hash_key("account", email_for_lookup(email), address): limit}
    if address:
        limits[hash_key("address", address)] = limit * ADDRESS_FACTOR
    # Every counter counts the attempt, whatever the result of another one is.
    locked_until = [until for name in limits if (until := record_attempt(name, limit=limits[name], at=at)) is not None]
    if locked_until:
        raise LoginLockedError(retry_after=max(1, ceil((max(locked_until) - at).total_seconds())))
    try:
        yield
    except LoginBusyError:
        _withdraw_attempt(*limits)
        raise
    account_key, *address_keys = limits
    LoginFailures.objects.filter(pk=account_key).delete()
    _withdraw_attempt(*address_keys)
    LoginFailures.objects.filter(last_at__lte=at - timedelta(days=1)).delete()


def hash_key(*parts: str) -> str:
    """Return the key of a counter: a hash, so that the table contains no addresses and no accounts."""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()


def record_attempt(name: str, *, limit: int, at: datetime) -> datetime | None:
    """Count an attempt. Return None if it is allowed, or the end of the lock after ``limit`` recent failures."""
    lock_time = timedelta(minutes=settings.LOGIN_LOCKED_MINUTES)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"name": name, "at": at, "since": at - lock_time, "limit": limit})
        failures, last_at = cursor.fetchone()
    return None if failures <= limit else last_at + lock_time


def _withdraw_attempt(*names: str) -> None:
    LoginFailures.objects.filter(pk__in=names, failures__gt=0).update(failures=F("failures") - 1)
