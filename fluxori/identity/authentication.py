"""The login with a password, for the API and for the admin."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from fluxori.identity.models import User


class PasswordBackend(ModelBackend):
    """Django's backend, which returns the session generation that belongs to the password it has checked.

    Checking a password can store a new hash of it, and that begins a generation. If another request changed the
    password in the same moment, the login fails.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **options: Any
    ) -> User | None:
        user = super().authenticate(request, username, password, **options)
        if not isinstance(user, User):
            return None
        stored = User.objects.filter(pk=user.pk, password=user.password)
        generation = stored.values_list("session_generation", flat=True).first()
        if generation is None:
            return None
        user.session_generation = generation
        return user
