"""The gauges of the periodic jobs: last success and interval of each. ``fluxori.db.gauges`` reads them."""

from collections.abc import Iterable

from django.db.backends.utils import CursorWrapper

from fluxori.core import metrics
from fluxori.db.gauges import Sample
from fluxori.jobs.schedule import PERIODIC

_SQL = """
SELECT name, extract(epoch FROM coalesce(succeeded_at, first_run_at)) FROM jobs_periodicjob WHERE name = ANY(%s)
"""


def read_gauges(cursor: CursorWrapper) -> Iterable[Sample]:
    """Read the gauges. A job that no worker has begun yet, because cron runs the commands for example, has none."""
    cursor.execute(_SQL, [list(PERIODIC)])
    for name, succeeded_at in cursor.fetchall():
        yield metrics.job_last_success, (name,), float(succeeded_at)
        yield metrics.job_interval_seconds, (name,), PERIODIC[name].interval.total_seconds()
