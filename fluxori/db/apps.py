"""The app of the database layer: it watches every connection that Django opens."""

from typing import Any

from django.apps import AppConfig
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from fluxori.db import checks  # noqa: F401 - registers the checks
from fluxori.db.deadlines import watchdog


class DatabaseConfig(AppConfig):
    name = "fluxori.db"
    label = "database"

    def ready(self) -> None:
        """Watch every connection from its beginning."""
        connection_created.connect(_watch)


def _watch(connection: BaseDatabaseWrapper, **_: Any) -> None:
    watchdog.watch(connection)
