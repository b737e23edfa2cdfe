"""The login form of the admin, which locks after repeated failures."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from unfold.forms import AuthenticationForm

from fluxori.api.throttling import address_of
from fluxori.core import clock
from fluxori.identity.errors import LoginBusyError, LoginLockedError
from fluxori.identity.lock_out import counted_attempt


class LoginForm(AuthenticationForm):  # type: ignore[misc]
    """Authenticates, unless there were too many recent failures. Messages do not reveal whether an account exists."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "No member of staff has this e-mail and password.",
    }

    def clean(self) -> Any:
        email, address = self.cleaned_data.get("username", ""), address_of(self.request)
        try:
            with counted_attempt(email=email, address=address, at=clock.now()):
                return super().clean()
        except LoginLockedError as error:
            minutes = settings.LOGIN_LOCKED_MINUTES
            raise ValidationError(f"{error.title}. Try again in {minutes} minutes.", code="locked") from error
        except LoginBusyError as error:
            raise ValidationError(f"{error.title}.", code="busy") from error
