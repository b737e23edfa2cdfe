"""The app of the database layer: it watches every connection that Django opens, and replaces those that were lost."""

from typing import Any

from django.apps import AppConfig
from django.core.signals import request_started
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from fluxori.db import checks  # noqa: F401 - registers the checks
from fluxori.db.deadlines import watchdog
from fluxori.db.lost_connections import close_lost_connections


class DatabaseConfig(AppConfig):
    name = "fluxori.db"
    label = "database"

    def ready(self) -> None:
        """Watch every connection from its beginning, and look for lost ones when a request begins."""
        connection_created.connect(_watch)
        request_started.connect(close_lost_connections)


def _watch(connection: BaseDatabaseWrapper, **_: Any) -> None:
    watchdog.watch(connection)
