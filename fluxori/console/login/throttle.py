"""The login form of the admin, which locks after repeated failures: per account and address, and per address.

Attempts are counted in the database before the password is checked, so that concurrent attempts count too, in however
many processes they run.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import F
from unfold.forms import AuthenticationForm

from fluxori.api.throttling import address_of
from fluxori.console.models import LoginFailures
from fluxori.core import clock
from fluxori.identity.emails import email_for_lookup
from fluxori.identity.errors import LoginBusyError

# Many people may share an address, so the limit per address is this many times the limit per account.
ADDRESS_FACTOR = 10

_COUNT = """
INSERT INTO console_loginfailures AS known (name, failures, last_at) VALUES (%(name)s, 1, %(at)s)
ON CONFLICT (name) DO UPDATE SET
    failures = CASE WHEN known.last_at <= %(since)s THEN 1 ELSE LEAST(known.failures + 1, %(limit)s + 1) END,
    last_at = CASE WHEN known.last_at <= %(since)s OR known.failures < %(limit)s THEN %(at)s ELSE known.last_at END
RETURNING failures
"""


class LoginForm(AuthenticationForm):  # type: ignore[misc]
    """Authenticates, unless there were too many recent failures. Messages do not reveal whether an account exists."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "No member of staff has this e-mail and password.",
    }

    def clean(self) -> Any:
        address = address_of(self.request)
        account_key = hash_key("account", email_for_lookup(self.cleaned_data.get("username", "")), address)
        address_key = hash_key("address", address)
        at, limit = clock.now(), settings.LOGIN_FAILURES
        # Both attempts are counted, whatever the first result is.
        allowed = [
            record_attempt(account_key, limit=limit, at=at),
            record_attempt(address_key, limit=limit * ADDRESS_FACTOR, at=at),
        ]
        if not all(allowed):
            minutes = settings.LOGIN_LOCKED_MINUTES
            raise ValidationError(f"Too many attempts failed. Try again in {minutes} minutes.", code="locked")
        try:
            cleaned = super().clean()
        except LoginBusyError as error:
            raise ValidationError(f"{error.title}.", code="busy") from error
        reset_failures(account_key, address_key)
        return cleaned


def hash_key(*parts: str) -> str:
    """Return the key of a counter: a hash, so that the table contains no addresses and no accounts."""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()


def record_attempt(name: str, *, limit: int, at: datetime) -> bool:
    """Count an attempt and return whether it is allowed: not after ``limit`` recent failures."""
    since = at - timedelta(minutes=settings.LOGIN_LOCKED_MINUTES)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"name": name, "at": at, "since": since, "limit": limit})
        failures: int = cursor.fetchone()[0]
    return failures <= limit


def reset_failures(account_key: str, address_key: str) -> None:
    """Reset the counter of an account after a login, and take its attempt off the counter of its address."""
    LoginFailures.objects.filter(pk=account_key).delete()
    LoginFailures.objects.filter(pk=address_key, failures__gt=0).update(failures=F("failures") - 1)
    LoginFailures.objects.filter(last_at__lte=clock.now() - timedelta(days=1)).delete()
