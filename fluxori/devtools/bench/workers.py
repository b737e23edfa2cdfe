"""How a process of a pool begins. It imports no models: they can be imported once it has begun, and not before."""

import os

import django


def join(database: str) -> None:
    """Use ``database`` of the server that the environment names."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fluxori.settings")
    from django.conf import settings  # noqa: PLC0415 (needs the line above)

    settings.DATABASES["default"]["NAME"] = database
    django.setup()
