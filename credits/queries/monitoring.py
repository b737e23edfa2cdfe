"""The gauges of the ledger: the last aggregation and the last verification. ``fluxori.db.gauges`` reads them."""

from collections.abc import Iterable

from django.db.backends.utils import CursorWrapper

from fluxori.core import metrics
from fluxori.db.gauges import Sample

_SQL = """
SELECT extract(epoch FROM (SELECT max(started_at) FROM credits_aggregationrun WHERE busy = 0)),
       extract(epoch FROM (SELECT max(finished_at) FROM credits_verificationrun WHERE differences = 0)),
       (SELECT differences FROM credits_verificationrun ORDER BY finished_at DESC LIMIT 1)
"""


def read_gauges(cursor: CursorWrapper) -> Iterable[Sample]:
    """Read the gauges; a run that has never taken place has the value 0."""
    cursor.execute(_SQL)
    [(aggregated_at, verified_at, differences)] = cursor.fetchall()
    yield metrics.last_aggregation, (), float(aggregated_at or 0)
    yield metrics.last_verification, (), float(verified_at or 0)
    yield metrics.verification_differences, (), differences or 0
