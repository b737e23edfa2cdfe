"""Health, for whoever decides whether to restart a process or send it requests."""

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from fluxori.api.problems import of_status, to_response
from fluxori.api.rendering import to_json

_OK = to_json({"status": "ok"})


@require_safe
def live(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """The process answers. Touches nothing else: a database that is away is no reason to restart."""
    return HttpResponse(_OK, "application/json")


class Readiness:
    """The database answers, and has every migration of this code; the latter is asked only until it is so."""

    def __init__(self) -> None:
        self._migrated = False

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
                cursor.execute("SELECT 1")
            self._migrated = self._migrated or _is_migrated()
        except (DatabaseError, InterfaceError):
            return self._not_yet(request, "The database cannot be reached.")
        if not self._migrated:
            return self._not_yet(request, "The database lacks migrations of this version.")
        return HttpResponse(_OK, "application/json")

    @staticmethod
    def _not_yet(request: HttpRequest, detail: str) -> HttpResponse:
        return to_response(request, of_status(503, "database_unavailable", detail))


def _is_migrated() -> bool:
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


ready = require_safe(Readiness())
