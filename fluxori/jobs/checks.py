"""The start-up check of the scheduler: ``manage.py check --deploy --database default``."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

# Long enough for an outage of the worker that an alert reports, and for the first start of an installation.
MISSING_AFTER = timedelta(days=1)

# A worker that stops takes its row with it, so the runs of the commands count too. They also show that cron or systemd
# runs the schedule. A database that was created or started less than a day ago may be waiting for its first worker.
_SQL = """
SELECT greatest((SELECT min(applied) FROM django_migrations),
                pg_postmaster_start_time(),
                (SELECT max(last_heartbeat) FROM procrastinate_workers),
                (SELECT max(started_at) FROM credits_aggregationrun)) < now() - %s
"""


@register(Tags.database, deploy=True)
def check_scheduler(databases: Iterable[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Report that nothing has run the schedule for a day of the database, in production (``jobs.E001``)."""
    if not settings.PRODUCTION:
        return []
    return [
        Error(
            "Neither a worker nor another scheduler has run the periodic commands for a day.",
            hint="Start manage.py procrastinate worker: see docs/how-to/operate.md. To accept this, name jobs.E001 in"
            " SILENCED_CHECKS.",
            id="jobs.E001",
        )
        for alias in databases or ()
        if _is_missing(alias)
    ]


def _is_missing(alias: str) -> bool:
    with connections[alias].cursor() as cursor:
        # Before the first migration there is no schedule.
        cursor.execute("SELECT to_regclass('procrastinate_workers') IS NOT NULL")
        if cursor.fetchone() == (False,):
            return False
        cursor.execute(_SQL, [MISSING_AFTER])
        [missing] = cursor.fetchone()
    return bool(missing)
