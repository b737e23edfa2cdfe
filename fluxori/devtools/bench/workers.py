"""The initializer of pool processes. This module imports no models: they need Django to be set up first."""

import os

import django


def set_up(database: str) -> None:
    """Set up Django with ``database`` on the server in ``DATABASE_URL``."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fluxori.settings")
    from django.conf import settings  # noqa: PLC0415 (needs the line above)

    settings.DATABASES["default"]["NAME"] = database
    django.setup()
