"""The admin's door, which shuts after repeated failures: for one account from one address, and for an address.

Attempts are counted in the database before the password is looked at, so that guesses made at once are counted too,
and by however many processes.
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

# Many people may share an address; still, whoever tries many accounts from one is stopped.
ADDRESS_FACTOR = 10

_COUNT = """
INSERT INTO console_loginfailures AS known (name, failures, last_at) VALUES (%(name)s, 1, %(at)s)
ON CONFLICT (name) DO UPDATE SET
    failures = CASE WHEN known.last_at <= %(since)s THEN 1 ELSE LEAST(known.failures + 1, %(limit)s + 1) END,
    last_at = CASE WHEN known.last_at <= %(since)s OR known.failures < %(limit)s THEN %(at)s ELSE known.last_at END
RETURNING failures
"""


class LoginForm(AuthenticationForm):  # type: ignore[misc]
    """Logs in, unless it failed too often of late. What it says does not tell whether there is such an account."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "No member of staff has this e-mail and this password.",
    }

    def clean(self) -> Any:
        address = address_of(self.request)
        account = hashed("account", self.cleaned_data.get("username", "").lower(), address)
        anybody = hashed("address", address)
        at, limit = clock.now(), settings.LOGIN_FAILURES
        allowed = [attempt(account, limit=limit, at=at), attempt(anybody, limit=limit * ADDRESS_FACTOR, at=at)]
        if not all(allowed):
            minutes = settings.LOGIN_LOCKED_MINUTES
            raise ValidationError(f"Too many attempts failed. Try again in {minutes} minutes.", code="locked")
        cleaned = super().clean()
        forgive(account, anybody)
        return cleaned


def hashed(*words: str) -> str:
    """Return a name to count by that tells nobody's address."""
    return hashlib.sha256("\n".join(words).encode("utf-8", "replace")).hexdigest()


def attempt(name: str, *, limit: int, at: datetime) -> bool:
    """Count one more attempt and return whether it may be made: after ``limit`` failures they wait."""
    since = at - timedelta(minutes=settings.LOGIN_LOCKED_MINUTES)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"name": name, "at": at, "since": since, "limit": limit})
        failures: int = cursor.fetchone()[0]
    return failures <= limit


def forgive(account: str, address: str) -> None:
    """Forget the failures of an account that has logged in, and the one attempt of its address."""
    LoginFailures.objects.filter(pk=account).delete()
    LoginFailures.objects.filter(pk=address, failures__gt=0).update(failures=F("failures") - 1)
    LoginFailures.objects.filter(last_at__lte=clock.now() - timedelta(days=1)).delete()
