"""The record of a run of the monthly allocation: its start, its progress, its end, and a second attempt.

A run updates its record after every chunk, so a run that was killed is recognized by its age; see
``tiers.models.AllocationRun``.
"""

from datetime import datetime
from uuid import UUID

from django.db import OperationalError, connection, transaction

from fluxori.core import clock
from fluxori.core.ids import uuid7
from fluxori.db.chunked_work import is_busy
from tiers.models import AllocationRun
from tiers.operations.allocate_due import Totals, allocate_due

# The most rejected subscriptions that a run names.
_MAX_REJECTIONS = 100


def start_run(
    *,
    at: datetime,
    started_at: datetime,
    started_by: str,
    due: int = 0,
    tier: str | None = None,
    run_id: UUID | None = None,
) -> AllocationRun:
    """Record the start of a run for ``due`` subscriptions."""
    return AllocationRun.objects.create(
        id=run_id or uuid7(),
        at=at,
        started_at=started_at,
        seen_at=started_at,
        started_by=started_by,
        due=due,
        tier_id=tier,
    )


def record_progress(*, run: AllocationRun, totals: Totals, seen_at: datetime) -> None:
    """Record the results of a run so far."""
    run.seen_at = seen_at
    run.subscriptions = totals.subscriptions
    run.allocated = totals.allocated.total()
    run.skipped = totals.skipped.total()
    run.credits = totals.credits.total()
    run.rejected = len(totals.rejected)
    run.rejections = [[str(balance_id), code] for balance_id, code in totals.rejected[:_MAX_REJECTIONS]]
    run.save()


def finish_run(*, run: AllocationRun, totals: Totals, status: str, finished_at: datetime) -> None:
    """Record the end of a run and its results."""
    run.status = status
    run.finished_at = finished_at
    record_progress(run=run, totals=totals, seen_at=finished_at)


def rerun_rejected(*, run: AllocationRun, started_by: str) -> AllocationRun:
    """Process the rejected subscriptions that ``run`` names (at most 100) again, as a new run with the instant of
    ``run``: it allocates what that run would have allocated.

    Each subscription commits separately and waits at most 200 ms for its lock; a balance that is still locked is
    rejected again. Periods that were allocated since are not allocated twice.
    """
    balance_ids = [UUID(balance_id) for balance_id, _ in run.rejections]
    rerun = start_run(at=run.at, started_at=clock.now(), started_by=started_by, due=len(balance_ids), tier=run.tier_id)
    totals = Totals()
    for balance_id in balance_ids:
        totals.add(_allocate_without_waiting(balance_id, run.at, rerun.pk))
    finish_run(run=rerun, totals=totals, status=AllocationRun.Status.DONE, finished_at=clock.now())
    return rerun


def _allocate_without_waiting(balance_id: UUID, at: datetime, run: UUID) -> Totals:
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '200ms'")
            return allocate_due(balance_ids=[balance_id], at=at, run=run)
    except OperationalError as error:
        if not is_busy(error):
            raise
        return Totals(subscriptions=1, rejected=[(balance_id, "busy")])
