"""The gauge of the tiers: the lag of the monthly allocation. ``fluxori.db.gauges`` reads it."""

from collections.abc import Iterable

from django.db.backends.utils import CursorWrapper

from fluxori.core import metrics
from fluxori.db.gauges import Sample

_SQL = """
SELECT extract(epoch FROM now() - min(next_allocation_at))
FROM tiers_subscription
WHERE status = 'active' AND next_allocation_at <= now()
"""


def read_gauges(cursor: CursorWrapper) -> Iterable[Sample]:
    """Read how long the oldest due allocation has been due."""
    cursor.execute(_SQL)
    [(lag,)] = cursor.fetchall()
    yield metrics.allocation_lag_seconds, (), float(lag or 0)
