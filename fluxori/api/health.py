"""Health endpoints for process supervisors and load balancers."""

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse

from fluxori.api.problems import generic_problem, public_page, to_response
from fluxori.api.rendering import to_json

_OK = to_json({"status": "ok"})


@public_page
def live(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Return 200 while the process runs. It uses no database: restarting the process would not bring one back."""
    return HttpResponse(_OK, "application/json")


class Readiness:
    """Return 200 if the database responds and has all migrations of this version, otherwise 503.

    Migrations are checked until they are complete, and then not again.
    """

    def __init__(self) -> None:
        self._migrated = False

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
                cursor.execute("SELECT 1")
            self._migrated = self._migrated or _is_migrated()
        except (DatabaseError, InterfaceError):
            return self._unavailable(request, "The database cannot be reached.")
        if not self._migrated:
            return self._unavailable(request, "The database lacks migrations of this version.")
        return HttpResponse(_OK, "application/json")

    @staticmethod
    def _unavailable(request: HttpRequest, detail: str) -> HttpResponse:
        return to_response(request, generic_problem(503, "database_unavailable", detail))


def _is_migrated() -> bool:
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


ready = public_page(Readiness())
