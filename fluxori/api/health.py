"""Health endpoints for process supervisors and load balancers."""

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse

from fluxori.api.problems import generic_problem, public_page, to_response
from fluxori.api.rendering import to_json
from fluxori.db.deadlines import limit_connecting, limit_waits
from fluxori.db.sqlstates import DISK_FULL, sqlstate_of

# A probe that lasts longer counts as failed, so that the load balancer is not kept waiting.
READY_SECONDS = 2

_LIMITS = f"SET LOCAL work_mem = '64kB'; SET LOCAL statement_timeout = {READY_SECONDS * 1000}"
# The sort needs more than its memory and so writes a temporary file of some hundred kilobytes: on a full disk it fails.
_CAN_WRITE = """
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean,
       (SELECT count(*) FROM (SELECT md5(n::text) FROM generate_series(1, 5000) AS n ORDER BY 1 OFFSET 0) AS sorted)
"""

_OK = to_json({"status": "ok"})


@public_page
def live(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Return 200 while the process runs. It uses no database: restarting the process would not bring one back."""
    return HttpResponse(_OK, "application/json")


class Readiness:
    """Return 200 if the database responds in time, accepts writes and has all migrations, otherwise 503.

    Migrations are checked until they are complete, and then not again.
    """

    def __init__(self) -> None:
        self._migrated = False

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            with limit_connecting(READY_SECONDS), limit_waits(READY_SECONDS):
                is_read_only = _is_read_only()
                self._migrated = self._migrated or _is_migrated()
        except (DatabaseError, InterfaceError) as error:
            if sqlstate_of(error) == DISK_FULL:
                return self._unavailable(request, "The disk of the database is full.")
            return self._unavailable(request, "The database cannot be reached, or does not respond in time.")
        if is_read_only:
            return self._unavailable(request, "The database is read-only.")
        if not self._migrated:
            return self._unavailable(request, "The database lacks migrations of this version.")
        return HttpResponse(_OK, "application/json")

    @staticmethod
    def _unavailable(request: HttpRequest, detail: str) -> HttpResponse:
        return to_response(request, generic_problem(503, "database_unavailable", detail))


def _is_read_only() -> bool:
    """Return whether the server accepts no writes. Also try whether its disk has room.

    :raises DatabaseError: the disk is full, or the server does not respond in time
    """
    with transaction.atomic(), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(_LIMITS)
        cursor.execute(_CAN_WRITE)
        [is_read_only, _] = cursor.fetchone()
    return bool(is_read_only)


def _is_migrated() -> bool:
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


ready = public_page(Readiness())
